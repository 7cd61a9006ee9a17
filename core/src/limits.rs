//! Every limit of the protocol, with its reason.
//!
//! One file, so that a reader sees how the limits relate; the assertions at the end fail the
//! build when a change breaks a relation. Each limit is tested at its value and one past it.

/// Length of an encoded group element or scalar in bytes (RFC 9496, section 4.3.2).
pub const ELEMENT_BYTES: usize = 32;

/// Length of a DLEQ proof in bytes: challenge and response, one scalar each (RFC 9497, 2.2.1).
pub const PROOF_BYTES: usize = 64;

/// Most elements in one evaluated batch, 128 KiB on the wire.
///
/// Larger batches save nothing (the proof is amortized long before) and make a lost answer dearer.
pub const BATCH_ELEMENTS_MAX: usize = 4_096;

/// Most elements of a batch that are evaluated in one go.
///
/// Some milliseconds of work: what a small batch waits for the slice of a large one that runs.
/// Smaller slices would not divide the cost of the proof's sum as well.
pub const SLICE_ELEMENTS: usize = 256;

/// Sizes to which the batches of a discovery are padded, ascending.
///
/// A server that sees a batch learns the class, not the number of contacts. Powers of two keep
/// the padding below half of a batch. A larger address book is sent as several batches of the
/// largest class, so that all its batches look alike.
pub const PADDING_CLASSES: [usize; 7] = [16, 32, 64, 128, 256, 512, 1_024];

/// Most elements of a batch that a lookup sends: the largest class. Larger ones are registrars'.
#[expect(clippy::indexing_slicing, reason = "a constant: out of bounds fails the build")]
pub const LOOKUP_ELEMENTS_MAX: usize = PADDING_CLASSES[PADDING_CLASSES.len() - 1];

/// Length of an opaque identifier in bytes, after the `id:` prefix.
pub const OPAQUE_BYTES_MAX: usize = 128;

/// Digits of an E.164 number without the plus sign (ITU-T E.164, section 6.2.1).
pub const E164_DIGITS_MAX: usize = 15;

/// Length of an e-mail address in bytes (RFC 5321, section 4.5.3.1.3, without brackets).
pub const MAILTO_BYTES_MAX: usize = 254;

/// Length of the local part of an e-mail address in bytes (RFC 5321, section 4.5.3.1.1).
pub const MAILTO_LOCAL_BYTES_MAX: usize = 64;

/// Length of an opened label in bytes: an account id such as a UUID.
pub const LABEL_BYTES: usize = 16;

/// Length of the authentication tag of a sealed label or row in bytes (RFC 8452).
pub const SEAL_BYTES: usize = 16;

/// Length of a sealed label in bytes.
pub const SEALED_LABEL_BYTES: usize = LABEL_BYTES + SEAL_BYTES;

/// Length of a tenant name in bytes, `[a-z0-9-]`.
pub const TENANT_BYTES_MAX: usize = 32;

/// Length of an account pseudonym in bytes.
pub const PSEUDONYM_BYTES: usize = 16;

/// Length of the audience of a credential in bytes, `[a-z0-9.-]`.
pub const AUDIENCE_BYTES_MAX: usize = 64;

/// Length of the authentication code of a credential in bytes (HMAC-SHA256, RFC 2104).
pub const CREDENTIAL_MAC_BYTES: usize = 32;

/// Length of a bearer credential in bytes before its text encoding; a longer one is not parsed.
pub const CREDENTIAL_BYTES_MAX: usize = 192;

/// Length of a bearer credential as text: base64url without padding.
pub const CREDENTIAL_TEXT_BYTES_MAX: usize = CREDENTIAL_BYTES_MAX / 3 * 4;

/// Seconds by which the clock of a back end may be ahead of the server's: a credential issued
/// later than that is refused.
pub const CLOCK_SKEW_S: u64 = 60;

/// Members for which a snapshot segment is planned; see `set::Universe`.
pub const SEGMENT_MEMBERS_TARGET: u64 = 24_576;

/// Members of a directory; `k = 13` segments bits at the target above.
pub const DIRECTORY_MEMBERS_MAX: u64 = 200_000_000;

/// Epochs that are live at a time: the one in use, and the one before it or after it while a key
/// rotation lasts.
pub const LIVE_EPOCHS_MAX: usize = 2;

/// Length of an encoded manifest in bytes: 255 padding classes, two epochs of 181 bytes, a header.
pub const MANIFEST_BYTES_MAX: usize = 2 * 1_024;

/// Length of an encoded segment index in bytes: 8,192 segments of 72 bytes and a header.
pub const SEGMENT_INDEX_BYTES_MAX: usize = 640 * 1_024;

/// Length of an encoded set segment in bytes.
///
/// A segment holds at most 1.5 times its planned members at under 3 bytes each, unless tags were
/// ground to fall into one segment; ten times the plan is refused.
pub const SEGMENT_BYTES_MAX: usize = 1 << 20;

/// Entries of an overlay: removed ranks and added records together, a fiftieth of the largest
/// directory.
///
/// A directory makes a new snapshot long before: the largest gets that many changes in a day at a
/// churn of one percent each way. It keeps an overlay within 160 MB of memory, and the work of a
/// publication, which encodes the overlay anew, within a second.
pub const OVERLAY_ENTRIES_MAX: usize = 4_000_000;

/// Length of an encoded overlay in bytes: 40 for each entry.
///
/// An added record takes its label and a Rice code of at most `(48 + 4) / 8` bytes, whatever the
/// number of entries, so an overlay within the limit of entries always fits.
pub const OVERLAY_BYTES_MAX: usize = 40 * OVERLAY_ENTRIES_MAX;

/// Length of an encoded delta in bytes: what it adds is part of one overlay, what it takes back is
/// part of another, at one Rice code (of less than 8 bytes) each.
///
/// It travels in chunks, so it may exceed a message.
pub const DELTA_BYTES_MAX: usize = OVERLAY_BYTES_MAX + 8 * OVERLAY_ENTRIES_MAX;

/// Steps of the way from one version to another: a server keeps the way over a few snapshots.
pub const WAY_STEPS_MAX: usize = 64;

/// Versions exported earlier from which a static export still leads to the newest one.
///
/// A delta is made for each; whoever comes from an older one downloads the snapshot.
pub const EXPORTED_VERSIONS_MAX: usize = 100;

/// Length of one chunk of a streamed segment or label array in bytes.
pub const CHUNK_BYTES: usize = 128 * 1_024;

/// Length of one gRPC message in bytes, either way.
///
/// The largest is a registration chunk (elements and labels) or an evaluated batch with proof.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Length of one request in bytes to the rpcs that anybody may call: health and reflection.
pub const OPEN_REQUEST_BYTES_MAX: usize = 4 * 1_024;

/// Length of one request to `DiscoveryService` in bytes: the largest batch, and what is around it.
///
/// Room for a message is made as soon as its length is declared, so clients are given no more than
/// they need.
pub const LOOKUP_BYTES_MAX: usize = BATCH_ELEMENTS_MAX * ELEMENT_BYTES + 4_096;

#[expect(clippy::indexing_slicing, reason = "a constant: out of bounds fails the build")]
const _: () = {
    assert!(BATCH_ELEMENTS_MAX <= 65_535, "RFC 9497 composites index elements in two bytes");
    assert!(LOOKUP_ELEMENTS_MAX <= BATCH_ELEMENTS_MAX);
    assert!(0 < SLICE_ELEMENTS && SLICE_ELEMENTS <= BATCH_ELEMENTS_MAX);
    assert!(BATCH_ELEMENTS_MAX * (ELEMENT_BYTES + LABEL_BYTES) + 4_096 <= MESSAGE_BYTES_MAX);
    assert!(CHUNK_BYTES + 4_096 <= MESSAGE_BYTES_MAX);
    assert!(MANIFEST_BYTES_MAX + 4_096 <= MESSAGE_BYTES_MAX);
    assert!(SEGMENT_INDEX_BYTES_MAX + 4_096 <= MESSAGE_BYTES_MAX);
    assert!(SEALED_LABEL_BYTES + (48 + 4) / 8 + 1 < OVERLAY_BYTES_MAX / OVERLAY_ENTRIES_MAX);
    assert!(OVERLAY_ENTRIES_MAX as u64 <= DIRECTORY_MEMBERS_MAX);
    assert!(DELTA_BYTES_MAX as u64 <= u32::MAX as u64, "lengths of sections have four bytes");
    assert!(DIRECTORY_MEMBERS_MAX <= u32::MAX as u64, "ranks have four bytes");
    let header = 1 + 4 + 1 + 1 + 3 * 8 + PSEUDONYM_BYTES;
    let names = 1 + TENANT_BYTES_MAX + 1 + AUDIENCE_BYTES_MAX;
    assert!(header + names + CREDENTIAL_MAC_BYTES <= CREDENTIAL_BYTES_MAX);
    assert!(CREDENTIAL_BYTES_MAX.is_multiple_of(3), "its text has a whole number of characters");
    assert!(AUDIENCE_BYTES_MAX <= 255, "lengths of names have one byte");
    let mut i = 1;
    while i < PADDING_CLASSES.len() {
        assert!(PADDING_CLASSES[i - 1] < PADDING_CLASSES[i], "classes ascend");
        i += 1;
    }
};
