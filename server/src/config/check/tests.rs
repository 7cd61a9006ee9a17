use std::path::Path;

use super::*;
use crate::config::{ClassQuota, RegistrarQuota};

fn check(change: fn(&mut Config)) -> Result<(), ConfigError> {
    let mut config = Config::default();
    change(&mut config);
    config.check().map(|_| ())
}

#[test]
fn the_defaults_are_valid_and_paths_are_resolved() {
    let config = Config::default();
    let checked = config.check().unwrap();
    let [tenant] = &checked.tenants[..] else { panic!("one tenant") };
    assert_eq!(tenant.name.as_str(), "default");
    assert_eq!(tenant.policy.padding_classes.last(), Some(&1_024));
    assert_eq!((tenant.policy.quota_elements, tenant.policy.quota_refill_per_day), (20_480, 2_048));
    let resolved = config.resolve(Path::new("/etc/acquaint"));
    assert_eq!(resolved.tenants["default"].store, Path::new("/etc/acquaint/store.redb"));
    assert_eq!(resolved.admin_socket.unwrap(), Path::new("/etc/acquaint/admin.sock"));
}

#[test]
fn limits_hold_at_the_edge_and_fail_one_past_it() {
    assert_eq!(check(|c| c.evaluator.queue_elements = 4_096), Ok(()));
    assert_eq!(check(|c| c.evaluator.queue_elements = 4_095), Err(ConfigError::Queue));
    assert_eq!(check(|c| c.evaluator.account_elements = 4_096), Ok(()));
    assert_eq!(check(|c| c.evaluator.account_elements = 4_095), Err(ConfigError::Queue));
    assert_eq!(check(|c| c.quota.elements = 16), Ok(()));
    assert_eq!(check(|c| c.quota.elements = 15), Err(ConfigError::Quota));
    assert_eq!(check(|c| c.quota.elements = (1 << 40) - 1), Ok(()));
    assert_eq!(check(|c| c.quota.elements = 1 << 40), Err(ConfigError::QuotaTooLarge));
    assert_eq!(check(|c| c.quota.refill_per_day = 1 << 40), Err(ConfigError::QuotaTooLarge));
    for percent in [1, 50] {
        let mut config = Config::default();
        config.publication.snapshot_share_percent = percent;
        assert!(config.check().is_ok());
    }
    for percent in [0, 51] {
        let mut config = Config::default();
        config.publication.snapshot_share_percent = percent;
        assert_eq!(config.check(), Err(ConfigError::SnapshotShare));
    }
    assert_eq!(check(|c| c.audience = "staging.example.org".into()), Ok(()));
    assert_eq!(check(|c| c.audience = "No".into()), Err(ConfigError::Audience));
    assert_eq!(check(|c| c.transport.connections = 1), Ok(()));
    assert_eq!(check(|c| c.transport.connections = 0), Err(ConfigError::Transport));
    assert_eq!(check(|c| c.transport.timeouts.idle_ms = 0), Err(ConfigError::Transport));
    assert_eq!(check(|c| c.transport.timeouts.stall_ms = 10_000), Ok(()));
    assert_eq!(check(|c| c.transport.timeouts.stall_ms = 9_999), Err(ConfigError::Transport));
}

#[test]
fn a_ramp_starts_where_a_batch_fits() {
    assert_eq!(check(|c| c.quota.ramp_days = 30), Ok(()));
    // Five percent of 20,480 are 1,024 elements, the largest class.
    for (percent, expected) in
        [(5, Ok(())), (4, Err(ConfigError::Ramp)), (100, Ok(())), (101, Err(ConfigError::Ramp))]
    {
        let mut config = Config::default();
        (config.quota.ramp_days, config.quota.ramp_start_percent) = (30, percent);
        assert_eq!(config.check().map(|_| ()), expected, "{percent}");
        config.quota.ramp_days = 0;
        assert!(config.check().is_ok(), "without a ramp its start does not matter");
    }
}

#[test]
fn classes_are_numbers_from_1_to_255() {
    for (class, expected) in [
        ("1", Ok(())),
        ("255", Ok(())),
        ("0", Err(ConfigError::Class)),
        ("256", Err(ConfigError::Class)),
        ("gold", Err(ConfigError::Class)),
    ] {
        let mut config = Config::default();
        let quota = ClassQuota { elements: 1_024, refill_per_day: 0 };
        config.quota.classes.insert(class.to_owned(), quota);
        assert_eq!(config.check().map(|_| ()), expected, "{class}");
        config.quota.classes.insert("7".to_owned(), ClassQuota { elements: 1_023, ..quota });
        assert!(config.check().is_err());
    }
}

#[test]
fn each_tenant_needs_a_name_and_files_of_its_own() {
    let two = |name: &str, store: &str, keys: &str| {
        let mut config = Config::default();
        config.tenants.insert(name.to_owned(), Tenant::new(store, keys));
        config.check().map(|checked| checked.tenants.len())
    };
    assert_eq!(two("other", "other.redb", "other-keys"), Ok(2));
    assert_eq!(two("other", "store.redb", "other-keys"), Err(ConfigError::Shared));
    assert_eq!(two("other", "other.redb", "keys"), Err(ConfigError::Shared));
    assert_eq!(two("Other", "other.redb", "other-keys"), Err(ConfigError::Tenant));
    assert_eq!(check(|c| c.tenants.clear()), Err(ConfigError::NoTenant));
}

#[test]
fn a_tenants_own_sections_take_the_place_of_the_common_ones() {
    let mut config = Config::default();
    config.quota.elements = 5_000;
    config.quota.refill_per_day = 77;
    config.quota.registrar = Some(RegistrarQuota { elements: 16, refill_per_day: 1 });
    let mut other = Tenant::new("other.redb", "other-keys");
    other.quota.elements = Some(7_000);
    other.queue_elements = Some(8_192);
    other.entries_max = Some(10);
    config.tenants.insert("other".to_owned(), other);
    let checked = config.check().unwrap();
    let figures = |t: &TenantSettings| (t.policy.quota_elements, t.queue_elements, t.entries_max);
    assert_eq!(figures(&checked.tenants[0]), (5_000, 32_768, DIRECTORY_MEMBERS_MAX));
    assert_eq!(figures(&checked.tenants[1]), (7_000, 8_192, 10));
    // What a tenant does not have otherwise it has like the others, limits of registrars included.
    assert_eq!(checked.tenants[1].policy.quota_refill_per_day, 77);
    let as_common = Quota { elements: 7_000, ..config.quota.clone() };
    assert_eq!(checked.tenants[1].quotas, as_common.check().unwrap());
    // Half of connections, calls and streams, unless it is stated; never more than there are.
    let share = |c: &Config, tenant: usize| {
        let TransportShare { connections, calls, streams } =
            c.check().unwrap().tenants[tenant].transport_share;
        (connections, calls, streams)
    };
    assert_eq!(share(&Config::default(), 0), (4_096, 1_024, 1_024));
    assert_eq!((share(&config, 0), share(&config, 1)), ((2_048, 512, 512), (2_048, 512, 512)));
    let other = config.tenants.get_mut("other").unwrap();
    (other.connections, other.calls, other.streams) = (Some(1), Some(9_999), Some(300));
    assert_eq!(share(&config, 1), (1, 1_024, 300));
    config.tenants.get_mut("other").unwrap().calls = Some(0);
    assert_eq!(config.check(), Err(ConfigError::Transport));
    config.tenants.get_mut("other").unwrap().calls = None;
    for (queue, entries) in [(4_095, 1), (4_096, 0), (4_096, DIRECTORY_MEMBERS_MAX + 1)] {
        let other = config.tenants.get_mut("other").unwrap();
        (other.queue_elements, other.entries_max) = (Some(queue), Some(entries));
        assert!(config.check().is_err());
    }
}
