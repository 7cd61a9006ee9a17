//! What a tenant has otherwise than the others: single fields of the common sections.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClassQuota, Publication, Quota, RegistrarQuota, Rotation};

/// Defines a section in which every field may be missing, and its way over the common one.
macro_rules! own {
    ($(#[$doc:meta])* $name:ident over $common:ident { $($field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                #[doc = concat!("In place of the common `", stringify!($field), "`.")]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
        }

        impl $name {
            /// The common section with these fields in place of its own.
            #[must_use]
            #[allow(clippy::useless_conversion, clippy::clone_on_copy, reason = "for all types")]
            pub(super) fn over(&self, common: &$common) -> $common {
                let mut section = common.clone();
                $(
                    if let Some(own) = &self.$field {
                        section.$field = own.clone().into();
                    }
                )+
                section
            }
        }
    };
}

own! {
    /// Fields of [`Quota`] that a tenant has otherwise.
    OwnQuota over Quota {
        elements: u64,
        refill_per_day: u64,
        ramp_days: u32,
        ramp_start_percent: u8,
        classes: BTreeMap<String, ClassQuota>,
        registrar: RegistrarQuota,
    }
}

own! {
    /// Fields of [`Publication`] that a tenant has otherwise.
    OwnPublication over Publication {
        delay_ms: u64,
        delta_retention_s: u32,
        snapshot_share_percent: u64,
        snapshot_age_s: u64,
    }
}

own! {
    /// Fields of [`Rotation`] that a tenant has otherwise.
    OwnRotation over Rotation {
        grace_s: u32,
    }
}
