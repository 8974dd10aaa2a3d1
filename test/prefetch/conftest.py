"""Let the tests of this folder use tile servers."""

from test.helpers.servers import (  # noqa: F401
    folder, grey_server, no_proxy, no_resolver, open_imagery, serve)
