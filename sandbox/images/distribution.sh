# Which distribution this machine runs, and an apt of our own on its archive: same mirrors, proxies
# and keys as the machine's apt, but private state, so that no privilege is needed and nothing of the machine changes.

# Sets distribution, release, pretty_name, version and architecture.
know_distribution() {
  local ID='' VERSION_ID='' VERSION_CODENAME='' PRETTY_NAME=''
  . /etc/os-release
  case $ID in
    debian | ubuntu) ;;
    *) die "images are built from Debian or Ubuntu packages, and this is ${PRETTY_NAME:-an unknown system}" \
      "build them on such a machine and copy \$ISOLAB_HOME/images here" ;;
  esac
  distribution=$ID
  release=$VERSION_CODENAME
  pretty_name=$PRETTY_NAME
  version=${VERSION_ID:-$VERSION_CODENAME} # Debian's testing and unstable have no number
  architecture=$(dpkg --print-architecture)
}

need_tools() {
  local missing=() tool
  for tool in mmdebstrap jq flock; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  if [ "$(id -u)" != 0 ]; then
    command -v newuidmap >/dev/null || missing+=(uidmap)
    grep -qE "^($(id -un)|$(id -u)):[0-9]+:(6553[6-9]|655[4-9].|65[6-9]..|6[6-9]...|[7-9]....|[0-9]{6,})$" /etc/subuid ||
      die "user $(id -un) has no range of 65536 subordinate ids, which an ordinary user needs to unpack a system" \
        "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
  fi
  [ ${#missing[@]} = 0 ] || die "not installed: ${missing[*]}" "sudo apt-get install ${missing[*]}"
}

# Writes to folder $1 the apt sources of the distribution itself: those of other vendors have no part in
# an image, and may ask for keys or names that an image does not know.
distribution_sources() {
  local found=no file lines
  if [ -n "${ISOLAB_APT_SOURCES-}" ]; then cp "$ISOLAB_APT_SOURCES" "$1/"; return; fi
  for file in /etc/apt/sources.list.d/{debian,ubuntu}.sources; do
    [ -f "$file" ] && cp "$file" "$1/" && found=yes
  done
  lines=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.list 2>/dev/null |
    grep -E "^deb .*[[:space:]]$release(-updates|-security|/updates)?[[:space:]]+(main|contrib|restricted|universe)" | grep -v cdrom: || true)
  if [ -n "$lines" ]; then printf '%s\n' "$lines" >"$1/distribution.list"; found=yes; fi
  [ $found = yes ] || die "found no apt source of $distribution $release in /etc/apt" \
    "name a file with one: ISOLAB_APT_SOURCES=/path/to/file.sources make images"
}

# Sets apt_sources (files) and apt_settings (a file: how this machine reaches its archive).
prepare_apt() {
  local apt=$cache/apt
  mkdir -p "$apt/state/lists/partial" "$debs/partial"
  : >"$apt/status"
  rm -rf "$apt/sources.d" && mkdir "$apt/sources.d"
  distribution_sources "$apt/sources.d"
  apt_sources=("$apt/sources.d"/*)
  apt_settings=$apt/settings
  { apt-config dump | grep -E '^Acquire::(http|https|Check-|ForceIPv|AllowRelease)' || true
    echo 'Acquire::Retries "4";'
    echo 'Acquire::Languages "none";'
  } >"$apt_settings"
  { cat "$apt_settings"
    echo "Dir::State \"$apt/state\"; Dir::State::status \"$apt/status\"; Dir::Cache \"$apt\";"
    echo "Dir::Cache::archives \"$debs\"; Dir::Cache::pkgcache \"\"; Dir::Cache::srcpkgcache \"\"; Dir::Etc::parts \"/dev/null\"; Dir::Etc::main \"/dev/null\";"
    echo "Dir::Etc::sourcelist \"/dev/null\"; Dir::Etc::sourceparts \"$apt/sources.d\";"
    # The files lie in folders of the caller, which apt's own download user may not be able to reach.
    echo 'APT::Sandbox::User "root"; APT::Install-Recommends "false"; APT::Get::Assume-Yes "true";'
  } >"$apt/apt.conf"
}

# apt-get on the private state, with a line of progress now and then instead of one for each package.
private_apt() {
  APT_CONFIG=$cache/apt/apt.conf apt-get -q "$@" 2>&1 | awk -v prefix="$prefix:  " '
    /^Get:/ { if (++fetched % 25 == 0) print prefix, fetched, "files fetched"; next }
    /^(Err:|E:|W:|Fetched )/ { print prefix, $0 }
    { fflush() }' >&2
}

in_archive() { [ -n "$(APT_CONFIG=$cache/apt/apt.conf apt-cache --no-all-versions show "$1" 2>/dev/null)" ]; }
