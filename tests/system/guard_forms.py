"""Every spelling of an address inside that a customer might try: as a host in a URL, and as an answer of a name server."""
import socket

# Of the daemon's own machine in guard_inside.py, and where its world's receivers are.
OWN = ("93.184.216.10", "2606:4700:aaaa::10")
PUBLIC = "93.184.217.7"

V4 = ["127.0.0.1", "127.8.9.10", "169.254.169.254", "169.254.170.2", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
      "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "192.0.2.1", "0.0.0.0", OWN[0]]
V6 = ["::1", "::", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1", "2001:db8::1", "3fff::1",
      "100::1", "2001:2::1", OWN[1]]


def carriers(v4):
    """IPv6 addresses that carry a v4 one."""
    a, b, c, d = map(int, v4.split("."))
    high, low = f"{a * 256 + b:x}", f"{c * 256 + d:x}"
    turned = f"{(a * 256 + b) ^ 0xffff:x}:{(c * 256 + d) ^ 0xffff:x}"
    return [f"::ffff:{v4}", f"64:ff9b::{high}:{low}", f"64:ff9b:1::{high}:{low}", f"2002:{high}:{low}::1",
            f"2001:0:808:808:0:1:{turned}", f"::ffff:0:{high}:{low}", f"::{v4}"]


def answers():
    """As a name server may give them: in one spelling each."""
    texts = V4 + V6 + [six for v4 in V4 for six in carriers(v4)]
    return list(dict.fromkeys(canonical(text) for text in texts))


def canonical(text):
    """As inet_ntop writes it: ::ffff:10.0.0.1, not ::ffff:a00:1."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, text))


def spellings(v4):
    """Of a v4 address, as the host of a URL: what inet_aton, IDNA, percent-decoding or a careless parser makes of it."""
    a, b, c, d = map(int, v4.split("."))
    whole = a << 24 | b << 16 | c << 8 | d
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    circled = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
    return [v4, v4 + ".", str(whole), f"0x{whole:08x}", f"0X{whole:08X}", f"0{whole:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
            f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0x{a:x}.{b}.0{c:o}.{d}", f"{a}.{b << 16 | c << 8 | d}",
            f"{a}.{b}.{c << 8 | d}", f"{a:03}.{b:03}.{c:03}.{d:03}", v4.translate(wide), v4.translate(circled),
            v4.replace(".", "。"), v4.replace(".", "%2e"), "".join(f"%{ord(x):02x}" for x in v4), f"public.out.test@{v4}",
            f"public.out.test\\@{v4}", f"{v4}#@public.out.test", f"{v4}\\.out.test", f"{v4}%00.out.test", f"[{v4}]",
            f"{v4}:443", f"{v4}:8443", f"{v4}%09", f"//{v4}", f"{a}.{b}.{c}.{d + 256}"]


def hosts():
    """≥ 300 hosts for https://HOST/ that lead inside, or would with some parser."""
    found = [one for v4 in V4 for one in spellings(v4)]
    found += [f"[{six}]" for six in answers() if ":" in six]
    found += ["localhost", "LOCALHOST", "localhost.", "ip6-localhost", "[::1%25lo]", "[fe80::1%25daemon0]", "[0:0:0:0:0:0:0:1]",
              "[::FFFF:127.0.0.1]", "[::ffff:7f00:1]", "[0000:0000:0000:0000:0000:ffff:7f00:0001]", "[::1]:8443",
              "metadata.inside.test", "mixed.inside.test", "six.inside.test", "alias.inside.test"]
    return list(dict.fromkeys(found))
