#!/usr/bin/env python3
"""Known answers of the set codec, written from the format description alone.

Shares no code or structure with the Rust implementation: bits are a string of '0' and '1',
scaling is Python's exact integer arithmetic on the whole universe, overlays are differences of
multisets. Deterministic; rewrites vectors.json and overlays.json next to it.
"""

import collections
import decimal
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


def gap_bits(gap, p):
    low = "".join(str((gap >> i) & 1) for i in range(p))
    return "1" * (gap // 2**p) + "0" + low


def body_of(values):
    return codes([b - a for a, b in zip([0] + values, values)], P)


def codes(gaps, p):
    bits = "".join(gap_bits(gap, p) for gap in gaps)
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


EPOCH, NUMBER = 3, 2**40 + 1
LN_2 = int(decimal.Decimal(2).ln() * 2**32)


def parameter(width, count):
    """The largest p with count * 2^p <= ln 2 * width, or 0; ln 2 cut to 32 bits."""
    fits = [p for p in range(64) if count * 2 ** (p + 32) <= width * LN_2]
    return max(fits, default=0) if count else 0


def places(numbers, width):
    """Different numbers below a width: what lies between neighbors."""
    gaps = [b - a - 1 for a, b in zip([-1] + numbers, numbers)]
    p = parameter(width, len(numbers))
    return p, codes(gaps, p)


def values(numbers, width):
    p = parameter(width, len(numbers))
    return p, codes([b - a for a, b in zip([0] + numbers, numbers)], p)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def join(entries):
    return b"".join(sealed for _, sealed in entries)


def overlay_bytes(removed, added, members, width, **changed):
    (p, ranks), (q, vs) = places(removed, members), values([v for v, _ in added], width)
    f = {"magic": b"ACQO", "version": 1, "p": p, "q": q, "zero": 0, "number": NUMBER}
    f |= {"epoch": EPOCH, "removed_count": len(removed), "added_count": len(added)}
    f |= {"ranks_length": len(ranks), "values_length": len(vs), "zeros": 0}
    f |= {"body": ranks + vs + join(added)} | changed
    body = f.pop("body")
    return struct.pack("<4sBBBBQIIIIII", *f.values()) + body


def delta_bytes(versions, before, lists, members, width, **changed):
    restored, removed, dropped, added = lists
    coded = [
        places(restored, members),
        places(removed, members),
        places(dropped, before),
        values([v for v, _ in added], width),
    ]
    f = {"magic": b"ACQD", "version": 1, "zeros": bytes(3), "p": bytes(p for p, _ in coded)}
    f |= {"epoch": EPOCH, "number": NUMBER, "from": versions[0], "to": versions[1]}
    f |= {"before": before, "counts": [len(x) for x in lists]}
    f |= {"lengths": [len(b) for _, b in coded], "zero": 0}
    f |= {"body": b"".join(b for _, b in coded) + join(added)} | changed
    body = f.pop("body")
    flat = [x for value in f.values() for x in (value if isinstance(value, list) else [value])]
    return struct.pack("<4sB3s4sIQQQIIIIIIIIII", *flat) + body


def difference(snapshot, now):
    """Removed ranks of the sorted snapshot and added entries: the lowest of equal ranks go."""
    surplus = collections.Counter(snapshot)
    surplus.subtract(now)
    added = sorted(entry for entry, n in surplus.items() for _ in range(-n))
    removed = []
    for rank, entry in enumerate(snapshot):
        if surplus[entry] > 0:
            surplus[entry] -= 1
            removed.append(rank)
    return removed, added


def delta_lists(old, new):
    (removed_old, added_old), (removed_new, added_new) = old, new
    dropped, _ = difference(added_old, added_new)
    _, added = difference(added_old, added_new)
    restored = sorted(set(removed_old) - set(removed_new))
    return restored, sorted(set(removed_new) - set(removed_old)), dropped, added


def history(name, capacity, states):
    """A snapshot of the first state, overlays of the others, deltas between all of them.

    A record is (tag, number of its label)."""
    k, u = universe(capacity)
    width = u * 2**k

    def entries(state):
        return sorted((tag * width // 2**64, label(i)) for tag, i in state)

    snapshot = entries(states[0])
    overlays = [difference(snapshot, entries(state)) for state in states]
    versions = [(i, j) for j in range(len(states)) for i in range(j)]

    def delta(i, j):
        lists = delta_lists(overlays[i], overlays[j])
        return delta_bytes((i, j), len(overlays[i][1]), lists, len(snapshot), width)

    compacted = collections.defaultdict(list)
    for v, _ in entries(states[-1]):
        compacted[v // u].append(v % u)
    return {
        "name": name,
        "capacity": capacity,
        "states": [[[f"{tag:016x}", i] for tag, i in state] for state in states],
        "overlays": [overlay_bytes(*o, len(snapshot), width).hex() for o in overlays],
        "deltas": [{"from": i, "to": j, "bytes": delta(i, j).hex()} for i, j in versions],
        "compacted": [
            {"index": s, "count": len(w), "sha256": sha256(segment(k, NUMBER + 1, s, w))}
            for s, w in sorted(compacted.items())
        ],
        "compacted_labels": sha256(join(entries(states[-1]))),
    }


def histories():
    tags = pseudo_random_tags("overlay", 120)
    many = [(tag, i) for i, tag in enumerate(tags)]
    wide = pseudo_random_tags("several segments", 60)
    edges = [s * 2**60 - d for s in range(1, 16) for d in (0, 1)]
    spread = [(tag, i) for i, tag in enumerate(wide + edges)]
    one, other = (2**63, 1), (2**63, 2)
    return [
        history("nothing changes", 1_000, [many[:5], many[:5]]),
        history("from nothing", 1_000, [[], many[:1], many[:3], many[1:3]]),
        history("to nothing", 1_000, [many[:3], many[:1], [], many[:3]]),
        history(
            "equal records and ties",
            1,
            [
                [one] * 3 + [other] * 2,
                [one, other, other],
                [one] * 5 + [other],
                [one] * 2,
                [other] * 4 + [one] * 6,
                [other] * 3 + [one] * 4,
            ],
        ),
        history(
            "a label that changes, members that come back",
            400,
            [many[:90], many[5:99], [(t, i + 7) for t, i in many[:40]] + many[40:95], many],
        ),
        history("several segments", 200_000, [spread[:50], spread[::2], spread[1::3], spread[7:]]),
        history("the largest universe", 200_000_000, [spread[9:], spread[3:], spread[:-9]]),
    ]


def bad_overlays():
    """Capacity 1,000, a snapshot of 100 members; one fault each."""
    members, width = 100, 1_000 * M
    removed, added = [3, 4, 60], [(5, label(1)), (5, label(0)), (width - 1, label(2))]
    added.sort()

    def with_(removed=removed, added=added, **changed):
        return overlay_bytes(removed, added, members, width, **changed)

    whole = with_()
    p, ranks = places(removed, members)
    q, vs = values([v for v, _ in added], width)
    body = ranks + vs + join(added)
    swapped = [added[1], added[0], added[2]]
    stuffed = ranks[:-1] + bytes([ranks[-1] | 128])
    assert len(ranks) * 8 - 3 * (p + 1) >= 4 and ranks[-1] < 128

    cases = [
        ("empty input", b"", "Truncated"),
        ("header cut", whole[:39], "Truncated"),
        ("last label cut", whole[:-1], "Truncated"),
        ("magic", with_(magic=b"ACQD"), "Magic"),
        ("version", with_(version=2), "Version"),
        ("reserved byte", with_(zero=1), "Reserved"),
        ("reserved word", with_(zeros=1), "Reserved"),
        ("snapshot number", with_(number=NUMBER + 1), "SnapshotNumber"),
        ("epoch", with_(epoch=EPOCH + 1), "Epoch"),
        ("Rice parameter of ranks", with_(p=p + 1), "RiceParameter"),
        ("Rice parameter of values", with_(q=q - 1), "RiceParameter"),
        ("too many ranks", with_(removed_count=4_000_000 - 2), "TooLarge"),
        ("more ranks than bytes", with_(removed_count=100, p=0), "CountTooHigh"),
        ("rank at the end", with_(removed=[3, 4, members]), "RankRange"),
        ("value at the end", with_(added=added[:2] + [(width, label(2))]), "ValueRange"),
        ("labels of a tie descend", with_(body=ranks + vs + join(swapped)), "Order"),
        ("padding", with_(body=stuffed + vs + join(added)), "Padding"),
        ("one byte more", whole + b"\0", "TrailingBytes"),
        (
            "a byte between the lists",
            with_(ranks_length=len(ranks) + 1, body=ranks + b"\0" + vs + join(added)),
            "TrailingBytes",
        ),
        ("a label too many", with_(body=body + label(3)), "TrailingBytes"),
    ]
    assert parameter(100, 100) == 0
    return [{"name": n, "bytes": b.hex(), "error": e} for n, b, e in cases]


def bad_deltas():
    """As above, from an overlay with ranks 3, 4 and 60 removed and four additions, two equal.

    Reading reports some errors, applying the others."""
    members, width = 100, 1_000 * M
    before = [(5, label(0)), (9, label(0)), (9, label(0)), (9, label(1))]
    before.sort()
    first = before.index((9, label(0)))
    other = before.index((9, label(1)))

    def with_(restored=(), removed=(), dropped=(), added=(), versions=(5, 9), n=4, **changed):
        lists = [list(restored), list(removed), list(dropped), list(added)]
        return delta_bytes(versions, n, lists, members, width, **changed)

    good = dict(restored=[4], removed=[5, 99], dropped=[first], added=[(7, label(2))])
    whole = with_(**good)
    cases = [
        ("header cut", whole[:79], "Truncated"),
        ("last label cut", whole[:-1], "Truncated"),
        ("magic", with_(magic=b"ACQO"), "Magic"),
        ("version of the format", with_(version=0), "Version"),
        ("reserved bytes", with_(zeros=b"\0\0\1"), "Reserved"),
        ("reserved word", with_(zero=1 << 31), "Reserved"),
        ("snapshot number", with_(number=NUMBER - 1), "SnapshotNumber"),
        ("epoch", with_(epoch=0), "Epoch"),
        ("from another version", with_(versions=(4, 9)), "Versions"),
        ("to another version", with_(versions=(5, 8)), "Versions"),
        ("Rice parameter of an empty list", with_(p=b"\0\1\0\0"), "RiceParameter"),
        ("huge counts", with_(counts=[2**32 - 1] * 4), "TooLarge"),
        ("rank at the end", with_(removed=[members]), "RankRange"),
        ("value at the end", with_(added=[(width, label(1))]), "ValueRange"),
        ("ordinal at the end", with_(dropped=[4]), "OrdinalRange"),
        ("more dropped than there are", with_(dropped=[0, 1, 2, 3, 4]), "OrdinalRange"),
        ("one byte more", whole + b"\0", "TrailingBytes"),
        ("from another overlay", with_(n=3), "OtherOverlay"),
        ("restores a rank that is there", with_(restored=[5]), "NotRemoved"),
        ("removes a rank twice", with_(removed=[60]), "RemovedTwice"),
        ("restores and removes a rank", with_(restored=[60], removed=[60]), "RemovedTwice"),
        ("drops and adds a record", with_(dropped=[other], added=[before[other]]), "NotCanonical"),
        ("drops the later of equal ones", with_(dropped=[first + 1]), "NotCanonical"),
    ]
    start = overlay_bytes([3, 4, 60], before, members, width)
    return {
        "start": start.hex(),
        "good": whole.hex(),
        "cases": [{"name": n, "bytes": b.hex(), "error": e} for n, b, e in cases],
    }


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
    write("vectors.json", {"good": cases, "bad": bad})

    parameters = [
        {"width": width, "count": count, "parameter": parameter(width, count)}
        for width in (0, 1, 100, 10**6, 2 * 10**8, 200_000_000 * M)
        for count in (0, 1, 2, 34, 35, 69, 70, 1_000, 4_000_000)
    ]
    write(
        "overlays.json",
        {
            "epoch": EPOCH,
            "snapshot_number": NUMBER,
            "parameters": parameters,
            "histories": histories(),
            "bad": {"capacity": 1_000, "members": 100, "overlays": bad_overlays()},
            "bad_deltas": bad_deltas() | {"from": 5, "to": 9},
        },
    )


def write(name, content):
    path = pathlib.Path(__file__).with_name(name)
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
