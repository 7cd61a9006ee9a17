//! The rpcs of the package, as an enumeration that comes from the descriptors.
//!
//! Whoever matches on it without a wildcard has an answer for every rpc, or does not compile.

/// Defines [`Method`]: variant, full name of the service, name of the rpc, whether the server
/// streams its answer.
macro_rules! methods {
    ($($variant:ident, $service:literal, $name:literal, $streams:literal;)+) => {
        /// An rpc of `acquaint.v1`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = concat!("`", $service, "/", $name, "`")] $variant,)+
        }

        impl Method {
            /// Every rpc, in the order of the `.proto` files.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            const fn row(self) -> (&'static str, &'static str, &'static str, bool) {
                match self {
                    $(Self::$variant => (
                        $service,
                        $name,
                        concat!("/", $service, "/", $name),
                        $streams,
                    ),)+
                }
            }

            /// Finds an rpc by the path of its requests; `None` for any other path.
            #[must_use]
            pub fn of_path(path: &str) -> Option<Self> {
                match path {
                    $(concat!("/", $service, "/", $name) => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

// The rows come from the descriptors (see build.rs): no rpc can be forgotten.
include!(concat!(env!("OUT_DIR"), "/methods.rs"));

impl Method {
    /// The full name of its service, such as `acquaint.v1.DiscoveryService`.
    #[must_use]
    pub const fn service(self) -> &'static str {
        self.row().0
    }

    /// Its name within the service.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// The path of its requests, such as `/acquaint.v1.DiscoveryService/Evaluate`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        self.row().2
    }

    /// Whether its answer is a stream of messages.
    #[must_use]
    pub const fn streams_answer(self) -> bool {
        self.row().3
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_rpc_of_the_descriptors_is_a_method_and_nothing_else_is() {
        let set = FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).unwrap();
        let mut paths = Vec::new();
        for file in set.file.iter().filter(|file| file.package() == "acquaint.v1") {
            for service in &file.service {
                let path = |name: &str| format!("/acquaint.v1.{}/{name}", service.name());
                paths.extend(service.method.iter().map(|method| path(method.name())));
            }
        }
        let methods: Vec<_> = Method::ALL.iter().map(|method| method.path()).collect();
        assert!(paths.len() > 10);
        assert_eq!(paths, methods);
        for &method in Method::ALL {
            assert_eq!(Method::of_path(method.path()), Some(method));
            assert!(method.path().ends_with(method.name()));
            assert_eq!(Method::of_path(&method.path().to_lowercase()), None);
        }
        assert_eq!(Method::of_path(""), None);
    }
}
