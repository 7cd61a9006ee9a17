#!/usr/bin/env python3
"""Prints credential.json: credentials by an implementation of its own, from docs/PROTOCOL.md."""

import base64
import hmac
import json

NOW = 1_800_000_000
AUDIENCE = "acquaint"
KEYS = [
    {"tenant": "demo", "id": 1, "key": bytes(range(32))},
    {"tenant": "demo", "id": 2, "key": bytes(range(32, 64))},
    {"tenant": "other", "id": 1, "key": bytes(range(64, 96))},
]
PSEUDONYM_KEY = bytes(range(96, 128))
SCOPES = {"discover": 1, "register": 2, "admin": 3}


def pseudonym(account):
    return hmac.digest(PSEUDONYM_KEY, b"acquaint v1 pseudonym" + account.encode(), "sha256")[:16]


ORDINARY = {
    "key_id": 1,
    "scope": "discover",
    "class": 0,
    "issued_at": NOW - 60,
    "expires_at": NOW + 86_400,
    "account_since": 0,
    "pseudonym": pseudonym("alice").hex(),
    "tenant": "demo",
    "audience": AUDIENCE,
}


def body(claims, version=2):
    head = version.to_bytes(1, "big") + claims["key_id"].to_bytes(4, "big")
    head += bytes([SCOPES.get(claims["scope"], claims["scope"]), claims["class"]])
    for name in ("issued_at", "expires_at", "account_since"):
        head += claims[name].to_bytes(8, "big")
    head += bytes.fromhex(claims["pseudonym"])
    for name in ("tenant", "audience"):
        head += bytes([len(claims[name])]) + claims[name].encode()
    return head


def key_of(claims):
    wanted = (claims["tenant"], claims["key_id"])
    found = [k["key"] for k in KEYS if (k["tenant"], k["id"]) == wanted]
    return found[0] if found else KEYS[0]["key"]


def text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sealed(raw, key):
    return raw + hmac.digest(key, raw, "sha256")


def minted(name, **changes):
    claims = {**ORDINARY, **changes}
    key = key_of(claims)
    return {"name": name, "key": key.hex(), **claims, "text": text(sealed(body(claims), key))}


def refused(name, raw, reason="CREDENTIAL_INVALID"):
    return {"name": name, "text": raw if isinstance(raw, str) else text(raw), "reason": reason}


def changed(**changes):
    claims = {**ORDINARY, **changes}
    return sealed(body(claims), key_of(claims))


good = changed()
flipped = bytearray(good)
flipped[-1] ^= 1
vectors = {
    "origin": "printed by credential.py; fictional keys, never to be used",
    "now": NOW,
    "audience": AUDIENCE,
    "keys": [{**k, "key": k["key"].hex()} for k in KEYS],
    "pseudonym_key": PSEUDONYM_KEY.hex(),
    "pseudonyms": [{"account": a, "pseudonym": pseudonym(a).hex()} for a in ("", "alice", "bob")],
    "minted": [
        minted("ordinary"),
        minted("register", scope="register", pseudonym=pseudonym("back-end").hex()),
        minted("admin", scope="admin"),
        minted("second key", key_id=2),
        minted("another tenant", tenant="other"),
        minted("class and age", **{"class": 255, "account_since": NOW - 3_600}),
        minted("clock ahead by the skew", issued_at=NOW + 60),
        minted("last second", issued_at=0, expires_at=NOW + 1),
        minted("largest numbers", **{"expires_at": 2**64 - 1, "account_since": 2**64 - 1}),
    ],
    "refused": [
        refused("expired", changed(expires_at=NOW), "CREDENTIAL_EXPIRED"),
        refused("issued a second past the skew", changed(issued_at=NOW + 61)),
        refused("expires when issued", changed(issued_at=NOW - 60, expires_at=NOW - 60)),
        refused("key of another id", sealed(body(ORDINARY), KEYS[1]["key"])),
        refused("key of another tenant", sealed(body(ORDINARY), KEYS[2]["key"])),
        refused("unknown key id", changed(key_id=3)),
        refused("unknown tenant", changed(tenant="unknown")),
        refused("another audience", changed(audience="staging")),
        refused("unknown scope", changed(scope=4)),
        refused("version 1", sealed(body(ORDINARY, version=1), KEYS[0]["key"])),
        refused("upper case tenant", changed(tenant="Demo")),
        refused("a byte after the audience", sealed(body(ORDINARY) + b"a", KEYS[0]["key"])),
        refused("last bit flipped", bytes(flipped)),
        refused("truncated", good[:-1]),
        refused("one byte more", good + b"\0"),
        refused("padded text", base64.urlsafe_b64encode(good + b"\0").decode()),
        refused("empty", ""),
    ],
}
print(json.dumps(vectors, indent=2))
