"""Network addresses of clients."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address without its zone, and an IPv4 address in IPv6 form as IPv4; `None` for what is no address."""
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def network_of(address: str, bits_4: int = 32, bits_6: int = 64) -> str:
    """The network of an address, with so many bits; by default what counts as one client. A customer of a provider gets
    64 bits of IPv6 and may use any address in it (RFC 6177). Empty for what is no address."""
    parsed = parse_address(address)
    if parsed is None:
        return ""
    bits = bits_4 if parsed.version == 4 else bits_6
    if bits == parsed.max_prefixlen:
        return str(parsed)
    return str(ip_network((parsed, bits), strict=False))
