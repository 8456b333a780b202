//! The engine's few command-line options, read once.

use crate::rootless;
use std::path::PathBuf;

/// What the engine is told when it is started. A lab host starts it without any option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where clients connect: at least one.
    pub sockets: Vec<PathBuf>,
    /// Where containers are kept.
    pub data_root: PathBuf,
    /// Where ready images are: `index.json` and `layers/`. Without it, there are none to begin with.
    pub images: Option<PathBuf>,
    /// The configuration file, `daemon.json`.
    pub config: Option<PathBuf>,
    /// Where to say which process the engine is.
    pub pid_file: Option<PathBuf>,
    /// Below which control group those of containers are.
    pub cgroup_parent: String,
    /// Whether to make the bridge docker0 in the engine's own network namespace.
    pub bridge: bool,
    /// Whether descriptor 3 is a connection to the agent, which is served as well.
    pub agent: bool,
    /// Whether the engine is an ordinary user's own.
    pub rootless: Rootless,
}

/// Whether the engine is an ordinary user's own, in namespaces of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rootless {
    /// It is root's.
    No,
    /// It is, and has to enter its namespaces.
    Outside,
    /// It has entered them. This descriptor leads to the process that opens ports outside.
    Inside(i32),
}

/// Where Docker's rootless engine has what it needs, by the variables of its user's environment.
struct Homes {
    /// `$XDG_RUNTIME_DIR`: sockets.
    run: PathBuf,
    /// `$XDG_DATA_HOME`, or `~/.local/share`.
    data: PathBuf,
    /// `$XDG_CONFIG_HOME`, or `~/.config`.
    config: PathBuf,
}

impl Homes {
    fn of(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let path = |name: &str| environment(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
        let lacking = |name: &str, example: &str| {
            format!("{name} needs to be set to a directory that is yours alone: export {name}={example}")
        };
        let home = path("HOME").ok_or_else(|| lacking("HOME", "/home/you"))?;
        let run = path("XDG_RUNTIME_DIR");
        Ok(Self {
            run: run.ok_or_else(|| lacking("XDG_RUNTIME_DIR", "$HOME/.docker/run"))?,
            data: path("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")),
            config: path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
        })
    }
}

/// Where a lab host has its images.
const IMAGES: &str = "/usr/lib/isolab/images";

/// Where clients expect the engine of a lab host.
const SOCKET: &str = "/run/docker.sock";

/// Where Docker has its groups.
const CGROUP_PARENT: &str = "/docker";

/// How many sockets can be asked for: a mistake in a script must not take up all descriptors.
const SOCKETS_MAX: usize = 16;

/// What `--help` prints.
pub const USAGE: &str = "isolab-engine: serves the Docker Engine API, as PID 1 of a lab host or as a daemon on a machine

  -H, --host unix://PATH   where clients connect; may be given several times
      --socket PATH        the same as --host unix://PATH
      --data-root PATH     where containers are kept
      --images PATH        where ready images are: index.json and layers/
      --config-file PATH   what is configured, as in Docker's daemon.json (PID 1: /etc/docker/daemon.json)
      --pidfile PATH       where to write the engine's process id
      --cgroup-parent PATH below which control group those of containers are (/docker)
      --no-bridge          do not make the bridge docker0
      --no-agent           descriptor 3 is not a connection to the agent
      --rootless           be an ordinary user's own engine, in namespaces of its own

As PID 1 it listens on /run/docker.sock, keeps containers in /var/lib/docker, takes images from /usr/lib/isolab/images and
expects the agent's connection on descriptor 3. On a machine, which may have a Docker of its own, --host and --data-root
have to be given, there are no images without --images, and there is no agent without --agent. With --rootless it listens
on $XDG_RUNTIME_DIR/docker.sock, keeps containers in ~/.local/share/docker, is configured by ~/.config/docker/daemon.json,
and has the images of a lab host, if it is on one.
";

impl Options {
    /// Parses the arguments after the program's name. `as_init` tells whether the engine is PID 1.
    pub fn parse(
        arguments: impl IntoIterator<Item = String>,
        as_init: bool,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let (mut sockets, mut data_root, mut images, mut pid_file, mut config) =
            (vec![], None, None, None, None);
        let (mut bridge, mut agent, mut rootless) = (true, as_init, Rootless::No);
        let mut cgroup_parent = CGROUP_PARENT.to_owned();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut path = || {
                let value = value.clone().or_else(|| arguments.next()).filter(|value| !value.is_empty());
                value.map(PathBuf::from).ok_or_else(|| format!("{name} needs a path"))
            };
            match name.as_str() {
                "--host" | "-H" => sockets.push(socket_of(path()?)?),
                "--socket" => sockets.push(path()?),
                "--data-root" => data_root = Some(path()?),
                "--images" => images = Some(path()?),
                "--config-file" => config = Some(path()?),
                "--pidfile" => pid_file = Some(path()?),
                "--cgroup-parent" => cgroup_parent = path()?.to_string_lossy().into_owned(),
                "--no-bridge" => bridge = false,
                "--no-agent" => agent = false,
                "--agent" => agent = true,
                "--rootless" => rootless = Rootless::Outside,
                rootless::INSIDE => {
                    let number = path()?.to_str().and_then(|number| number.parse().ok());
                    rootless = Rootless::Inside(number.ok_or_else(|| format!("{name} needs a number"))?);
                }
                "--help" | "-h" => return Err(USAGE.into()),
                _ => return Err(format!("unknown option {name}\n\n{USAGE}")),
            }
        }
        if sockets.len() > SOCKETS_MAX {
            return Err(format!("--host can be given {SOCKETS_MAX} times"));
        }
        if as_init {
            if sockets.is_empty() {
                sockets.push(SOCKET.into());
            }
            data_root = data_root.or_else(|| Some("/var/lib/docker".into()));
            config = config.or_else(|| Some("/etc/docker/daemon.json".into()));
            images = images.or_else(|| Some(IMAGES.into()));
        }
        if rootless != Rootless::No {
            let homes = Homes::of(environment)?;
            if sockets.is_empty() {
                sockets.push(homes.run.join("docker.sock"));
            }
            data_root = data_root.or_else(|| Some(homes.data.join("docker")));
            config = config.or_else(|| Some(homes.config.join("docker/daemon.json")));
            pid_file = pid_file.or_else(|| Some(homes.run.join("docker.pid")));
            images = images.or_else(|| {
                Some(IMAGES.into()).filter(|images: &PathBuf| images.join("index.json").exists())
            });
        }
        if sockets.is_empty() {
            return Err(format!("--host is missing: say where clients are to connect\n\n{USAGE}"));
        }
        let data_root = data_root.ok_or_else(|| {
            format!("--data-root is missing: say where containers are to be kept\n\n{USAGE}")
        })?;
        Ok(Self { sockets, data_root, images, pid_file, config, cgroup_parent, bridge, agent, rootless })
    }
}

/// The path of `unix://PATH`. There is no authentication, so no address that another machine could reach is served.
fn socket_of(host: PathBuf) -> Result<PathBuf, String> {
    let text = host.to_string_lossy();
    match text.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
        Some(path) => Ok(path.into()),
        None => Err(format!("--host {text}: only unix:// and an absolute path is served")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(words: &[&str]) -> Result<Options, String> {
        parse_in(words, &|_| None)
    }

    fn parse_in(words: &[&str], environment: &dyn Fn(&str) -> Option<String>) -> Result<Options, String> {
        Options::parse(words.iter().map(|&word| word.to_owned()), false, environment)
    }

    #[test]
    fn an_ordinary_user_s_engine_is_in_the_user_s_own_places() {
        let user = |name: &str| match name {
            "HOME" => Some("/home/ann".into()),
            "XDG_RUNTIME_DIR" => Some("/run/user/1000".into()),
            _ => None,
        };
        let options = parse_in(&["--rootless"], &user).unwrap();
        assert_eq!(options.sockets, [PathBuf::from("/run/user/1000/docker.sock")]);
        assert_eq!(options.data_root, Path::new("/home/ann/.local/share/docker"));
        assert_eq!(options.config, Some("/home/ann/.config/docker/daemon.json".into()));
        assert_eq!(options.pid_file, Some("/run/user/1000/docker.pid".into()));
        let options = parse_in(&["--rootless", "--data-root=/d", "-H", "unix:///s"], &user).unwrap();
        assert_eq!((options.data_root, options.sockets), ("/d".into(), vec!["/s".into()]));
        let error = parse_in(&["--rootless"], &|name| user(name).filter(|_| name == "HOME")).unwrap_err();
        assert!(error.contains("export XDG_RUNTIME_DIR="), "{error}");
        assert_eq!(parse(&["-H", "unix:///a", "--data-root=/c"]).unwrap().rootless, Rootless::No);
        let inside = parse_in(&["--rootless", "--rootless-inside=7"], &user).unwrap();
        assert_eq!(inside.rootless, Rootless::Inside(7));
        assert_eq!(inside.data_root, Path::new("/home/ann/.local/share/docker"));
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let options = parse(&["--socket", "/a", "--images=/b", "--no-bridge", "--data-root", "/c"]).unwrap();
        assert_eq!((options.sockets, options.images), (vec!["/a".into()], Some(PathBuf::from("/b"))));
        assert!(!options.bridge && !options.agent);
    }

    #[test]
    fn a_lab_host_needs_none() {
        let options = Options::parse([], true, &|_| None).unwrap();
        assert!(options.agent && options.bridge && options.images.is_some());
        assert_eq!(options.sockets, [PathBuf::from("/run/docker.sock")]);
    }

    #[test]
    fn a_machine_is_not_touched_unasked() {
        assert!(parse(&["--data-root", "/a"]).unwrap_err().contains("--host"));
        assert!(parse(&["--host", "unix:///a"]).unwrap_err().contains("--data-root"));
        let options = parse(&["-H", "unix:///a", "--host=unix:///b", "--data-root=/c"]).unwrap();
        assert_eq!(options.sockets, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!((options.images, options.pid_file), (None, None));
        assert_eq!(options.cgroup_parent, "/docker");
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for bad in [
            &["--sockets"][..],
            &["--socket"],
            &["x"],
            &["--images="],
            &["-H", "tcp://0.0.0.0:2375"],
            &["-H", "unix://a"],
        ] {
            let words: Vec<_> = ["-H", "unix:///a", "--data-root", "/b"].iter().chain(bad).copied().collect();
            assert!(parse(&words).is_err(), "{bad:?}");
        }
    }
}
