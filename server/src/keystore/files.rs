//! Files that only their owner may read, and directories whose entries are durable.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use acquaint_core::keys::KEY_BYTES;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::KeyFileError;

const DIGITS: usize = 2 * KEY_BYTES;

/// More than any file of ours has; what else an editor left in one need not be overwritten.
const BYTES_MAX: usize = 4_096;

pub(super) fn write_private(path: &Path, key: &[u8; KEY_BYTES]) -> Result<(), KeyFileError> {
    let mut text = Zeroizing::new([b'\n'; DIGITS + 1]);
    let (digits, _newline) = text.split_at_mut(DIGITS);
    HEXLOWER.encode_mut(key, digits);
    write_text(path, &*text)
}

/// Writes a new file and makes its content durable; its entry is when the directory is
/// [synced](sync_directory).
pub(super) fn write_text(path: &Path, text: &[u8]) -> Result<(), KeyFileError> {
    let mut file = private_options().create_new(true).open(path).map_err(io_error(path))?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(io_error(path))
}

/// Overwrites a file with random bytes, then removes it. A file that is not there is as good.
///
/// File systems that write elsewhere instead of overwriting, and flash drives, may keep the old
/// blocks: nobody can do more from here.
pub(super) fn shred(path: &Path, rng: &mut impl CryptoRng) -> Result<(), KeyFileError> {
    let mut overwrite = || {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(DIGITS);
        let mut noise = vec![0; length.clamp(DIGITS, BYTES_MAX)];
        rng.fill_bytes(&mut noise);
        file.write_all(&noise)?;
        file.sync_all()?;
        fs::remove_file(path)
    };
    match overwrite() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(io_error(path)),
    }
}

/// Makes the entries of a directory durable: files that came, went or were renamed.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> Result<(), KeyFileError> {
    fs::File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error(path))
}

/// Elsewhere a directory cannot be synced.
#[cfg(not(unix))]
pub(super) fn sync_directory(_: &Path) -> Result<(), KeyFileError> {
    Ok(())
}

pub(super) fn read_private(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyFileError> {
    if is_open_to_others(path).map_err(io_error(path))? {
        return Err(KeyFileError::Permissions { path: path.to_owned() });
    }
    let text = Zeroizing::new(fs::read(path).map_err(io_error(path))?);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let digits = text.trim_ascii_end();
    let decoded =
        digits.len() == DIGITS && HEXLOWER_PERMISSIVE.decode_mut(digits, &mut *key).is_ok();
    if decoded { Ok(key) } else { Err(KeyFileError::Malformed { path: path.to_owned() }) }
}

pub(super) fn io_error(path: &Path) -> impl Fn(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.clone() },
        kind => KeyFileError::Io { path: path.clone(), kind },
    }
}

#[cfg(unix)]
fn private_options() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(unix)]
pub(super) fn make_private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn private_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    options
}

#[cfg(not(unix))]
pub(super) fn make_private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> io::Result<bool> {
    // No portable way to ask; the installation guide says who may read the directory.
    Ok(false)
}
