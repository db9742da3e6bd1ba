"""ClientHellos by hand (RFC 8446 4.1.2, 5.1). Text stands for octets, as everywhere in the table."""


def number(value, octets):
    return value.to_bytes(octets, "big").decode("latin-1")


def sized(body, octets):
    """With a length prefix."""
    return number(len(body), octets) + body


def extension(kind, body):
    return number(kind, 2) + sized(body, 2)


def server_name(name, kind=0):
    return extension(0, sized(number(kind, 1) + sized(name, 2), 2))


def alpn(*names):
    return extension(16, sized("".join(sized(name, 1) for name in names), 2))


def versions(*list_of):
    return extension(43, sized("".join(number(version, 2) for version in list_of), 1))


def key_share(group, size):
    return extension(51, sized(number(group, 2) + sized("k" * size, 2), 2))


def ech():
    """encrypted_client_hello, outer, with a payload that only its server could open (RFC 9849 5)."""
    return extension(0xfe0d, "\0" + number(1, 2) + number(1, 2) + "\x2a" + sized("e" * 32, 2) + sized("p" * 144, 2))


SNI = server_name("origin.corp.example")
TLS13 = versions(0x0304, 0x0303)


def message(*extensions, version=0x0303, session="s" * 32, ciphers="\x13\x01\xc0\x2b", compression="\0", kind=1, tail=None):
    """The handshake message. `tail` instead of the extensions and their length."""
    body = number(version, 2) + "r" * 32 + sized(session, 1) + sized(ciphers, 2) + sized(compression, 1)
    body += sized("".join(extensions), 2) if tail is None else tail
    return number(kind, 1) + sized(body, 3)


def records(text, size=16384, version=0x0301, kind=0x16):
    """In records of at most so many octets."""
    return "".join(number(kind, 1) + number(version, 2) + sized(text[at:at + size], 2) for at in range(0, len(text), size))


def hello(*extensions, **more):
    return records(message(*(extensions or (SNI, TLS13)), **more))
