use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

use super::{DOMAIN, Reason, Received, Refusal};

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

const PROTO_FILES: &[&str] = &[
    include_str!("../../proto/acquaint/v1/admin.proto"),
    include_str!("../../proto/acquaint/v1/discovery.proto"),
    include_str!("../../proto/acquaint/v1/manifest.proto"),
    include_str!("../../proto/acquaint/v1/registry.proto"),
];

const CODES: &[(&str, Code)] = &[
    ("OK", Code::Ok),
    ("CANCELLED", Code::Cancelled),
    ("UNKNOWN", Code::Unknown),
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("INTERNAL", Code::Internal),
    ("UNAVAILABLE", Code::Unavailable),
    ("DATA_LOSS", Code::DataLoss),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];

#[test]
fn every_reason_survives_the_wire() {
    let delay = Duration::new(7, 250_000_000);
    for &reason in Reason::ALL {
        let refusal = Refusal::new(reason).retry_after(delay).field("blinded_elements");
        let status = over_the_wire(&refusal.into());
        assert_eq!(status.message(), reason.text());

        let received = Received::from(&status);
        assert_eq!(received.code, reason.code());
        assert_eq!(received.reason, Some(reason));
        assert_eq!(received.retry_after, Some(delay));
        assert!(!received.retry_forbidden);

        let details = status.check_error_details().unwrap();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason.as_str(), "acquaint.v1"));
        assert!(info.metadata.is_empty());
        let [violation] = details.bad_request().unwrap().field_violations.as_slice() else {
            panic!("one violation");
        };
        assert_eq!(violation.field, "blinded_elements");
        assert_eq!(violation.description, reason.text());
    }
}

#[test]
fn waiting_is_told_exactly_where_it_helps() {
    for &reason in Reason::ALL {
        let received = Received::from(&Status::from(Refusal::new(reason)));
        let helps = matches!(reason.code(), Code::ResourceExhausted | Code::Unavailable);
        assert_eq!(received.retry_after, helps.then_some(Duration::from_secs(1)), "{reason:?}");
    }
}

#[test]
fn only_an_exhausted_quota_carries_a_quota_failure_without_the_account() {
    for &reason in Reason::ALL {
        let status = Status::from(Refusal::new(reason));
        let details = status.get_error_details();
        assert!(details.bad_request().is_none());
        let failure = details.quota_failure();
        assert_eq!(failure.is_some(), reason == Reason::QuotaExhausted);
        if let Some(failure) = failure {
            let [violation] = failure.violations.as_slice() else { panic!("one violation") };
            assert_eq!(violation.subject, "account");
            assert_eq!(violation.description, reason.text());
        }
    }
}

#[test]
fn words_and_texts_are_distinct_constants() {
    let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let texts: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.text()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    assert_eq!(texts.len(), Reason::ALL.len());
    for text in texts {
        assert!(!text.contains(['{', '}', '%', '$', '<']), "placeholder in: {text}");
        assert!(text.is_ascii() && text.ends_with('.') && !text.contains("  "), "{text}");
    }
    for &reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        assert_eq!(Reason::parse(&reason.as_str().to_lowercase()), None);
    }
}

#[test]
fn the_proto_comments_name_every_reason_under_its_code() {
    let mut named = BTreeSet::new();
    for (code, word) in PROTO_FILES.iter().flat_map(|file| words_of_comments(file)) {
        let Some(reason) = Reason::parse(word) else {
            assert!(!word.contains('_'), "{word} stands in a comment but not in the table");
            continue;
        };
        let code = code.unwrap_or_else(|| panic!("{word} stands in a comment without a code"));
        let expected = CODES.iter().find(|(name, _)| *name == code).unwrap().1;
        assert_eq!(reason.code(), expected, "{word} stands under {code}");
        named.insert(word);
    }
    for reason in Reason::ALL {
        assert!(named.contains(reason.as_str()), "no comment names {reason:?}");
    }
}

#[test]
fn foreign_domains_and_unknown_reasons_are_ignored() {
    let foreign = info("QUOTA_EXHAUSTED", "googleapis.com");
    let newer = info("SOMETHING_NEW", DOMAIN);
    let ours = info("QUEUE_FULL", DOMAIN);
    assert_eq!(received(vec![foreign.clone()]).reason, None);
    assert_eq!(received(vec![newer]).reason, None);
    assert_eq!(received(vec![foreign, ours]).reason, Some(Reason::QueueFull));
}

#[test]
fn a_malformed_detail_does_not_hide_the_others() {
    let broken = (RETRY_INFO, vec![0xff; 3]);
    assert_eq!(received(vec![broken, info("QUEUE_FULL", DOMAIN)]).reason, Some(Reason::QueueFull));
}

#[test]
fn absurd_delays_are_capped_or_ignored() {
    let hour = Some(Duration::from_secs(3600));
    for (seconds, nanos, expected) in [
        (3600, 0, hour),
        (3600, 1, hour),
        (3599, 999_999_999, Some(Duration::new(3599, 999_999_999))),
        (i64::MAX, i32::MAX, hour),
        (0, i32::MAX, Some(Duration::new(0, 999_999_999))),
        (0, 0, Some(Duration::ZERO)),
        (-1, 0, None),
        (1, -1, None),
        // tonic-types 0.14.9 panics on this one where overflow is checked.
        (i64::MIN, 0, None),
        (i64::MIN, i32::MIN, None),
    ] {
        assert_eq!(received(vec![retry(seconds, nanos)]).retry_after, expected, "{seconds}");
    }
}

#[test]
fn pushback_is_honored() {
    let refusal = Refusal::new(Reason::QueueFull).retry_after(Duration::from_secs(2));
    for (value, expected, forbidden) in [
        ("5000", Some(5), false),
        // The longer one obeys both.
        ("500", Some(2), false),
        ("0", Some(2), false),
        ("18446744073709551615", Some(3600), false),
        ("-1", None, true),
        ("18446744073709551616", None, true),
        ("soon", None, true),
        ("", None, true),
    ] {
        let mut status = Status::from(refusal);
        status.metadata_mut().insert("grpc-retry-pushback-ms", value.parse().unwrap());
        let received = Received::from(&status);
        assert_eq!(received.retry_after, expected.map(Duration::from_secs), "{value}");
        assert_eq!(received.retry_forbidden, forbidden, "{value}");
        assert_eq!(received.reason, Some(Reason::QueueFull));
    }
}

#[test]
fn a_bare_status_has_its_code_only() {
    let received = Received::from(&Status::unavailable("connection refused"));
    assert_eq!((received.code, received.reason), (Code::Unavailable, None));
    assert_eq!(received.retry_after, None);
    assert!(!format!("{received:?}").contains("refused"));
}

#[test]
fn a_server_may_answer_with_other_details() {
    let mut details = ErrorDetails::new();
    details.add_help_link("help", "https://example.org").set_retry_info(None);
    let status = Status::with_error_details(Code::Aborted, "text", details);
    assert_eq!(Received::from(&status).retry_after, None);
}

proptest! {
    #[test]
    fn arbitrary_details_never_panic(bytes: Vec<u8>, pushback: Vec<u8>) {
        let mut status = Status::with_details(Code::Unknown, "", bytes.into());
        if let Ok(value) = pushback.as_slice().try_into() {
            status.metadata_mut().insert("grpc-retry-pushback-ms", value);
        }
        let received = Received::from(&status);
        prop_assert!(received.retry_after.is_none_or(|delay| delay.as_secs() <= 3600));
    }

    #[test]
    fn arbitrary_typed_details_never_panic(value: Vec<u8>, more: Vec<u8>) {
        received(vec![(RETRY_INFO, value.clone()), (ERROR_INFO, value), (ERROR_INFO, more)]);
    }

    #[test]
    fn arbitrary_delays_never_panic(seconds: i64, nanos: i32) {
        let delay = received(vec![retry(seconds, nanos)]).retry_after;
        prop_assert_eq!(delay.is_some(), seconds >= 0 && nanos >= 0);
    }
}

/// Sends a status through the headers that carry it.
fn over_the_wire(status: &Status) -> Status {
    let mut headers = MetadataMap::new().into_headers();
    status.add_header(&mut headers).unwrap();
    Status::from_header_map(&headers).unwrap()
}

type Detail = (&'static str, Vec<u8>);

fn received(details: Vec<Detail>) -> Received {
    let mut encoded = pb::Status::default();
    for (type_url, value) in details {
        encoded.details.push(prost_types::Any { type_url: type_url.to_owned(), value });
    }
    let status = Status::with_details(Code::Unavailable, "", encoded.encode_to_vec().into());
    Received::from(&status)
}

fn info(reason: &str, domain: &str) -> Detail {
    let info = pb::ErrorInfo {
        reason: reason.to_owned(),
        domain: domain.to_owned(),
        ..pb::ErrorInfo::default()
    };
    (ERROR_INFO, info.encode_to_vec())
}

fn retry(seconds: i64, nanos: i32) -> Detail {
    let retry_delay = Some(prost_types::Duration { seconds, nanos });
    (RETRY_INFO, pb::RetryInfo { retry_delay }.encode_to_vec())
}

/// The words in capital letters of all comments, each with the canonical code that stands before
/// it in the same comment. Codes stand in backticks, reasons do not: `INTERNAL` is both.
fn words_of_comments(file: &str) -> Vec<(Option<&str>, &str)> {
    let mut words = Vec::new();
    let mut code = None;
    for line in file.lines() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            code = None;
            continue;
        };
        for (index, span) in comment.split('`').enumerate() {
            if index % 2 == 1 && CODES.iter().any(|(name, _)| *name == span) {
                code = Some(span);
                continue;
            }
            let split = span.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            words.extend(split.filter(|word| is_capital(word)).map(|word| (code, word)));
        }
    }
    words
}

fn is_capital(word: &str) -> bool {
    word.len() > 1
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
