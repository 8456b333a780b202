//! What a volume may be called. Its name becomes a directory's.

/// The longest name of a directory.
const NAME_BYTES_MAX: usize = 255;

/// Whether it can be a name, or why not, in Docker's words.
pub fn check(name: &str) -> Result<(), String> {
    if name.len() < 2 {
        return Err("volume name is too short, names should be at least two alphanumeric characters".into());
    }
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|c| c.is_ascii_alphanumeric());
    if !first || !bytes.all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c)) {
        return Err(format!(
            "{name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
             allowed. If you intended to pass a host directory, use absolute path"
        ));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("a volume's name has at most {NAME_BYTES_MAX} bytes"));
    }
    Ok(())
}
