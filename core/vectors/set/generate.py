#!/usr/bin/env python3
"""Known answers of the set codec, written from the format description alone.

Shares no code or structure with the Rust implementation: bits are a string of '0' and '1',
scaling is Python's exact integer arithmetic on the whole universe. Deterministic; rewrites
vectors.json next to it.
"""

import hashlib
import json
import pathlib
import struct

P = 20
M = round(1.497137 * 2**20)
assert M == 1_569_862


def universe(capacity):
    k = next(k for k in range(64) if capacity <= 24_576 * 2**k)
    return k, capacity * M // 2**k


def label(position):
    """The sealed label of the record at a position of the input."""
    return hashlib.sha256(b"label" + struct.pack("<I", position)).digest()


def pseudo_random_tags(name, n):
    def tag(i):
        return int.from_bytes(hashlib.sha256(f"{name} {i}".encode()).digest()[:8], "little")

    return [tag(i) for i in range(n)]


def gap_bits(gap):
    low = "".join(str((gap >> i) & 1) for i in range(P))
    return "1" * (gap // 2**P) + "0" + low


def body_of(values):
    gaps = [b - a for a, b in zip([0] + values, values)]
    bits = "".join(gap_bits(gap) for gap in gaps)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))


def header(k, number, index, count, body_length, **changed):
    f = {"magic": b"ACQS", "version": 1, "p": P, "k": k, "zero": 0, "number": number}
    f |= {"index": index, "count": count, "body_length": body_length, "zeros": 0} | changed
    return struct.pack("<4sBBBBQIIII", *f.values())


def segment(k, number, index, values, **changed):
    body = body_of(values)
    return header(k, number, index, len(values), len(body), **changed) + body


def good(name, capacity, number, tags):
    k, u = universe(capacity)
    whole = u * 2**k

    def scaled(i):
        return tags[i] * whole // 2**64

    order = sorted(range(len(tags)), key=lambda i: (scaled(i), label(i)))
    segments = {}
    for i in order:
        segments.setdefault(scaled(i) // u, []).append(scaled(i) % u)
    return {
        "name": name,
        "capacity": capacity,
        "segment_bits": k,
        "segment_width": u,
        "snapshot_number": number,
        "tags": [f"{tag:016x}" for tag in tags],
        "order": order,
        "ties": len(tags) - len({scaled(i) for i in order}),
        "segments": [
            {"index": s, "count": len(w), "bytes": segment(k, number, s, w).hex()}
            for s, w in sorted(segments.items())
        ],
    }


def bad_cases():
    """Capacity 30,000 (k = 1), snapshot 7, index 1, three members, unless the case is about it."""
    k, u = universe(30_000)
    values = [5, 5, 2**33 + 11]
    body = body_of(values)
    bits = 3 * 21 + ((2**33 + 6) >> 20)
    assert bits % 8 != 0, "the last byte needs padding"
    whole = segment(k, 7, 1, values)
    stuffed = body[:-1] + bytes([body[-1] | 0x80])

    def with_body(b, count=3):
        return header(k, 7, 1, count, len(b)) + b

    cases = [
        ("empty input", b"", "Truncated"),
        ("header cut", whole[:31], "Truncated"),
        ("body cut", whole[:-1], "Truncated"),
        ("body cut, length adjusted", with_body(body[:-1]), "Truncated"),
        ("magic", segment(k, 7, 1, values, magic=b"ACQT"), "Magic"),
        ("version", segment(k, 7, 1, values, version=2), "Version"),
        ("Rice parameter", segment(k, 7, 1, values, p=19), "RiceParameter"),
        ("segment bits", segment(2, 7, 1, values), "SegmentBits"),
        ("reserved byte", segment(k, 7, 1, values, zero=1), "Reserved"),
        ("reserved word", segment(k, 7, 1, values, zeros=1 << 31), "Reserved"),
        ("snapshot number", segment(k, 8, 1, values), "SnapshotNumber"),
        ("index", segment(k, 7, 0, values), "Index"),
        ("count", with_body(body, count=2), "Count"),
        ("file longer than stated", whole + b"\0", "TrailingBytes"),
        ("body longer than the codes", with_body(body + b"\0"), "TrailingBytes"),
        ("padding", with_body(stuffed), "Padding"),
        ("value is the width", segment(k, 7, 1, [5, 5, u]), "ValueRange"),
        ("all ones", with_body(b"\xff" * 64), "Truncated"),
        ("too many members for the body", with_body(body[:7]), "CountTooHigh"),
    ]
    return [{"name": n, "bytes": b.hex(), "error": e} for n, b, e in cases]


def main():
    top = 2**64
    edges = [0, 1, top // 2 - 1, top // 2, top // 2 + 1, top - 1]
    near = [top // 3 + i * 2**40 for i in range(40)]
    cases = [
        good("empty", 1_000, 1, []),
        good("one member at zero", 1_000, 2, [0]),
        good("one member at the end, a long run of ones", 24_576, 2**64 - 1, [top - 1]),
        good("both sides of a segment boundary", 24_577, 3, edges),
        good("ties of one tag and of neighbors", 1, 4, near + near[:8]),
        good("dense", 400, 5, pseudo_random_tags("dense", 400)),
        good("a million planned", 1_000_000, 6, pseudo_random_tags("million", 9)),
        good("the largest universe", 200_000_000, 7, pseudo_random_tags("largest", 4) + edges),
    ]
    assert cases[4]["ties"] > 8 and cases[6]["segment_width"] == 24_529_093_750
    bad = {"capacity": 30_000, "snapshot_number": 7, "index": 1, "count": 3, "cases": bad_cases()}
    path = pathlib.Path(__file__).with_name("vectors.json")
    path.write_text(json.dumps({"good": cases, "bad": bad}, indent=1) + "\n")


if __name__ == "__main__":
    main()
