# Copyright 2026 fg2_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Public, private and local network addresses."""

from __future__ import annotations

from ipaddress import ip_address, IPv4Address, IPv6Address, IPv6Network
import socket

PUBLIC, LOOPBACK, LINK_LOCAL, PRIVATE = 'public', 'loopback', 'link-local', 'private'
_NAT64 = IPv6Network('64:ff9b::/96')


def kind_of(address: str) -> str:
    """Return of which network a numeric address is: one of the four above."""
    ip = _inner(ip_address(address.partition('%')[0]))
    if ip.is_loopback or ip.is_unspecified:
        return LOOPBACK
    if ip.is_link_local:
        return LINK_LOCAL
    return PUBLIC if ip.is_global and not ip.is_multicast else PRIVATE


def kinds_of_host(host: str) -> set[str]:
    """Return of which networks the addresses of a host are; none if it is not known here."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {kind_of(str(address[0])) for *_, address in found}


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
