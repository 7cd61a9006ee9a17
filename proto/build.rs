//! Compiles the `.proto` files with protox, so that a build needs no `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;
use prost_types::FileDescriptorSet;

const PACKAGE: &str = "acquaint.v1";
const ROOT: &str = "proto";
const FOLDER: &str = "proto/acquaint/v1";

fn main() -> Result<(), Box<dyn Error>> {
    let files = proto_files()?;
    announce(&files);
    let mut set = protox::compile(&files, [ROOT])?;
    let messages = message_names(&set)?;

    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("redacted.rs"), format!("redacted! {{ {} }}\n", messages.join(", ")))?;
    fs::write(out.join("methods.rs"), format!("methods! {{ {} }}\n", methods(&set).concat()))?;
    generate(set.clone(), &messages)?;

    // Reflection needs names and numbers; the comments would only make the answer larger.
    for file in &mut set.file {
        file.source_code_info = None;
    }
    fs::write(out.join("acquaint_v1_descriptor.bin"), set.encode_to_vec())?;
    Ok(())
}

/// The files to compile, sorted: the output must not depend on the order of the file system.
fn proto_files() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn announce(files: &[PathBuf]) {
    // The folder too: a file that is added later changes nothing that was listed.
    for path in [Path::new("build.rs"), Path::new(FOLDER)] {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    for path in files {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

/// The names of all messages; refuses what the redaction of `Debug` would not reach.
fn message_names(set: &FileDescriptorSet) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
        for message in &file.message_type {
            if !message.nested_type.is_empty() {
                return Err(format!("{}: nested messages are not redacted", message.name()).into());
            }
            names.push(message.name().to_owned());
        }
    }
    Ok(names)
}

/// A row for each rpc: variant, service, name, whether the server streams.
fn methods(set: &FileDescriptorSet) -> Vec<String> {
    let mut rows = Vec::new();
    for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
        for service in &file.service {
            for method in &service.method {
                let prefix = service.name().trim_end_matches("Service");
                let (service, name) = (service.name(), method.name());
                let streams = method.server_streaming();
                rows.push(format!(
                    "{prefix}{name}, \"{PACKAGE}.{service}\", \"{name}\", {streams}; "
                ));
            }
        }
    }
    rows
}

fn generate(set: FileDescriptorSet, messages: &[String]) -> Result<(), Box<dyn Error>> {
    let mut config = prost_build::Config::new();
    // Elements travel packed: a `Bytes` is a view into the received frame, not a copy.
    config.bytes(["."]);
    // By message and not by ".", so that enumerations, which hold no payload, stay printable.
    config.skip_debug(messages.iter().map(|name| format!(".{PACKAGE}.{name}")));
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .compile_fds_with_config(set, config)?;
    Ok(())
}
