# The ROS wheels' imported targets name include folders of the machine that built the wheels
# (below /opt/python), and CMake refuses a target whose include folder does not exist.
# Passed as CMAKE_PROJECT_INCLUDE: once the project is read, drop what is not on this machine.
function(fg2_drop_missing_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(folders)
      list(FILTER folders EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${folders}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL fg2_drop_missing_includes)
