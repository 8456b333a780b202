//! What is known of a network and outlives the engine: one file each under the data root.

use super::ipam::IpamConfig;
use crate::names;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How a network carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the lab host.
    Bridge,
    /// The lab host's own links.
    Host,
    /// Nowhere.
    Null,
}

/// A network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// 64 hex digits.
    pub id: String,
    /// Its name, which no other network has.
    pub name: String,
    /// How it carries packets.
    pub driver: Driver,
    /// When it was created.
    pub created: SystemTime,
    /// `--internal`: there is no way out of it.
    pub internal: bool,
    /// `--attachable`, which means something only in a swarm.
    pub attachable: bool,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--opt`.
    pub options: BTreeMap<String, String>,
    /// `--ipam-opt`; `None` for the networks that there always are.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Its addresses, with the subnet that was chosen for it; none for a network without.
    pub ipam: Option<IpamConfig>,
    /// Whether the client chose the subnet, so that it may choose addresses too.
    pub subnet_chosen: bool,
    /// Whether we have made the link of its bridge, so that it goes with the network.
    pub owns_link: bool,
}

impl Driver {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

impl Record {
    /// A network of this name with nothing else to say of it.
    pub fn new(name: &str, driver: Driver) -> Self {
        Self {
            id: names::new_id(),
            name: name.into(),
            driver,
            created: SystemTime::now(),
            internal: false,
            attachable: false,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            ipam_options: None,
            ipam: None,
            subnet_chosen: false,
            owns_link: false,
        }
    }

    /// Whether it is one of the three that there always are.
    pub fn is_predefined(&self) -> bool {
        is_predefined(&self.name)
    }

    /// An option's value.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The name of its bridge.
    pub fn bridge(&self) -> String {
        match self.option("com.docker.network.bridge.name") {
            Some(name) => name.to_owned(),
            None => format!("br-{}", &self.id[..12]),
        }
    }

    /// The longest packet that its links carry, where it is not the kernel's usual.
    pub fn mtu(&self) -> Option<u32> {
        self.option("com.docker.network.driver.mtu")
            .and_then(|text| text.parse().ok())
            .filter(|&mtu| mtu != 1500)
    }

    fn file(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.json", self.id))
    }

    /// Writes it down, all of it or nothing.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        let (file, new) = (self.file(directory), directory.join(format!("{}.new", self.id)));
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, file)
    }

    /// Removes what was written down.
    pub fn forget(&self, directory: &Path) -> io::Result<()> {
        match std::fs::remove_file(self.file(directory)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All that was written down, oldest first. What cannot be read is told and left alone; what was not finished goes.
    pub fn load_all(directory: &Path) -> io::Result<Vec<Self>> {
        let mut records = vec![];
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("new") => std::fs::remove_file(&path)?,
                Some("json") => {
                    match std::fs::read(&path).map(|text| serde_json::from_slice::<Self>(&text)) {
                        Ok(Ok(record)) if record.id.len() == 64 && record.id.is_ascii() => {
                            records.push(record)
                        }
                        Ok(Ok(_)) => eprintln!("isolab-engine: {}: its id is not one", path.display()),
                        Ok(Err(error)) => eprintln!("isolab-engine: {}: {error}", path.display()),
                        Err(error) => eprintln!("isolab-engine: {}: {error}", path.display()),
                    }
                }
                _ => {}
            }
        }
        records.sort_by_key(|record| record.created);
        Ok(records)
    }
}

/// Whether a name is that of one of the networks that there always are, or stands for one.
pub fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none" | "default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_outlive_the_engine_and_half_of_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let mut record = Record::new("web", Driver::Bridge);
        record.options.insert("com.docker.network.bridge.name".into(), "web0".into());
        record.save(at).unwrap();
        std::fs::write(at.join("half.new"), "{").unwrap();
        std::fs::write(at.join("bad.json"), "{").unwrap();
        let found = Record::load_all(at).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.as_str(), found[0].bridge().as_str()), (record.id.as_str(), "web0"));
        assert!(!at.join("half.new").exists());
        record.forget(at).unwrap();
        record.forget(at).unwrap();
        assert!(Record::load_all(at).unwrap().is_empty());
    }
}
