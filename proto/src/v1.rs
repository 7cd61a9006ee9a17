//! The package `acquaint.v1`, generated from the `.proto` files: messages, clients and servers.
//!
//! Messages print as their name alone, whatever they carry.

#![expect(unused_qualifications, reason = "generated code names everything by its full path")]

tonic::include_proto!("acquaint.v1");

/// The compiled descriptors of the package, without comments; for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    tonic::include_file_descriptor_set!("acquaint_v1_descriptor");

/// Gives each message a `Debug` that prints its name and nothing of its content.
macro_rules! redacted {
    ($($message:ident),+ $(,)?) => {
        $(
            impl std::fmt::Debug for $message {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(concat!(stringify!($message), "(..)"))
                }
            }
        )+

        /// Every message by name, with what decodes, prints and encodes it.
        #[cfg(test)]
        const MESSAGES: &[(&str, tests::Print)] =
            &[$((stringify!($message), tests::print::<$message>)),+];
    };
}

// The list comes from the descriptors (see build.rs): no message can be forgotten.
include!(concat!(env!("OUT_DIR"), "/redacted.rs"));

#[cfg(test)]
mod tests;
