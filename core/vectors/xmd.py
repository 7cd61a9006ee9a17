"""expand_message_xmd of RFC 9380, section 5.3.1, with SHA-512, written from the RFC.

Prints 64-byte outputs, one a line, for the messages in the test. Its 32-byte outputs are checked
against appendix K.3 first.
"""
from hashlib import sha512

DST = b"QUUX-V01-CS02-with-expander-SHA512-256"


def expand(message: bytes, dst: bytes, length: int) -> bytes:
    blocks = -(-length // 64)
    dst_prime = dst + bytes([len(dst)])
    b0 = sha512(bytes(128) + message + length.to_bytes(2, "big") + b"\0" + dst_prime).digest()
    out = [sha512(b0 + b"\1" + dst_prime).digest()]
    for i in range(2, blocks + 1):
        mixed = bytes(x ^ y for x, y in zip(b0, out[-1]))
        out.append(sha512(mixed + bytes([i]) + dst_prime).digest())
    return b"".join(out)[:length]


assert expand(b"", DST, 32).hex() == (
    "6b9a7312411d92f921c6f68ca0b6380730a1a4d982c507211a90964c394179ba"
)
assert expand(b"abc", DST, 32).hex() == (
    "0da749f12fbe5483eb066a5f595055679b976e93abe9be6f0f6318bce7aca8dc"
)
for text in (b"", b"abc", b"abcdef0123456789"):
    print(expand(text, DST, 64).hex())
