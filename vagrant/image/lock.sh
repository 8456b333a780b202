# The lock: which packages, in which versions and with which bytes, a VM is made of. A build takes these and no others, so
# that a VM built tomorrow or by somebody else holds the same. A line is `name version architecture sha256`.

# Sets lock to the file that is read, or written by --update: the one that was asked for; the one of this state directory,
# which is there when an earlier --update could not write to the recipe's folder; the recipe's.
find_lock() {
  local name=$distribution-$release-$architecture.lock
  [ -z "$lock" ] || return 0
  local of_recipe=$here/locks/$name of_home=$vm/lock/$name
  lock=$of_recipe
  if [ $update = yes ]; then
    [ -w "$here/locks" ] || lock=$of_home
    return
  fi
  if [ -f "$of_home" ] && [ "$of_home" -nt "$of_recipe" ]; then lock=$of_home; fi
}

need_lock() {
  local bad package absent=()
  [ -f "$lock" ] || die "there is no lock of packages for $pretty_name on $architecture: $lock is missing" \
    "make one from what the archive has today: vagrant/image/build --update"
  bad=$(grep -vnE '^[a-z0-9][a-z0-9+.-]* [A-Za-z0-9.+:~-]+ (all|'"$architecture"') [0-9a-f]{64}$' "$lock" | head -n 3 || true)
  [ -z "$bad" ] || die "$lock has lines that are not \"name version architecture sha256\":" "$bad" "$(usage)"
  for package in $(packages_of lab-host) $(vm_packages) busybox-static; do
    in_lock "$package" || absent+=("$package")
  done
  [ ${#absent[@]} = 0 ] || die "$lock does not have ${absent[*]}, which a package list names" \
    "add what is missing, at today's versions: vagrant/image/build --update"
}

in_lock() { grep -q "^$1 " "$lock"; }

# The name that apt gives the file of a locked package.
file_of() { echo "$1_${2//:/%3a}_$3.deb"; }

# An apt of our own, as the sandbox's recipe has it, with the backports of a release whose own kernel is too old: the
# machine's own entry for the release, with the name of the backports in it, has the right address and key.
prepare_vm_apt() {
  prepare_apt
  fetch_lists # apt tells of its sources only once it has their lists
  [ "$kernel_suite" != "$release" ] || return 0
  local targets entry file number
  targets=$(APT_CONFIG=$cache/apt/apt.conf apt-get indextargets --format '$(RELEASE)/$(COMPONENT) $(SOURCESENTRY)' 'Created-By: Packages')
  if grep -q "^$kernel_suite/main " <<<"$targets"; then return; fi
  entry=$(sed -n "s|^$release/main ||p" <<<"$targets" | head -n 1)
  [ -n "$entry" ] || die "no apt source of $distribution $release main is among this machine's" \
    "the kernel of a lab VM comes from $kernel_suite, at the same address" \
    "name a file with such a source: ISOLAB_APT_SOURCES=/path/to/file.sources vagrant/image/build"
  # An entry is FILE:NUMBER, where the number is a line's, or a paragraph's in the newer format.
  file=${entry%:*} number=${entry##*:}
  case $file in
    *.sources) awk -v RS= -v number="$number" 'NR == number' "$file" | sed -E "s/^Suites:.*/Suites: $kernel_suite/" ;;
    *) sed -nE "$number s/[[:space:]]${release}[[:space:]]/ $kernel_suite /p" "$file" ;;
  esac >"$cache/apt/sources.d/$kernel_suite.${file##*.}"
  fetch_lists
}

fetch_lists() { private_apt update || die "the package lists could not be fetched" "check the network and run this again"; }

# Writes the lock anew, from what the archive has now.
update_lock() {
  local uris=$work/uris apt=(apt-get -q -o "Dir::Cache::archives=$work/none")
  say "resolving the packages of $pretty_name anew"
  prepare_vm_apt
  mkdir -p "$work/none/partial" "$(dirname "$lock")"
  local kernel docker=docker.io merged=
  kernel=$(newest_kernel)
  if in_archive docker-cli; then docker="docker-cli"; fi
  if in_archive usr-is-merged; then merged=usr-is-merged; fi
  # In an empty folder, so that every package is named and not only those that are not downloaded yet.
  # shellcheck disable=SC2046 # package names have no spaces
  (cd "$work/none" && export APT_CONFIG=$cache/apt/apt.conf &&
    "${apt[@]}" install --print-uris '?essential' $merged $(packages_of lab-host) $(vm_packages) &&
    "${apt[@]}" download --print-uris $docker busybox-static "$kernel") >"$uris" 2>"$work/apt.log" || {
    cat "$work/apt.log" >&2
    die "apt found no way to put together what packages/lab-host and packages/vm name" "its words are above"
  }
  # A line of apt is 'URI' name_version_architecture.deb SIZE DIGEST, where the digest may be a weak one: the lists have a strong one.
  sed -nE "s/^'[^']*' ([^_ ]+)_([^_ ]+)_([^_ ]+)\.deb .*/\1 \2 \3/p" "$uris" | sed 's/%3a/:/' | LC_ALL=C sort -u >"$work/wanted"
  list_archive
  awk 'NR == FNR { wanted[$0]; next } ($1 " " $2 " " $3) in wanted' "$work/wanted" "$work/archive" >"$work/lock"
  [ "$(wc -l <"$work/wanted")" = "$(wc -l <"$work/lock")" ] || die "the package lists do not say what bytes these have:" \
    "$(cut -d' ' -f1-3 "$work/lock" | LC_ALL=C comm -23 "$work/wanted" - | xargs -d '\n' printf '%s, ')"
  local changed=new
  if [ -f "$lock" ]; then changed=$(comm -13 "$lock" "$work/lock" | wc -l); fi
  # Written only if it differs: the file may be of a version control.
  cmp -s "$work/lock" "$lock" || cp "$work/lock" "$lock"
  say "  $lock: $(wc -l <"$lock") packages, $changed of them changed"
}

# Downloads what the lock names, checks every byte, and makes of it a repository of its own, $debs, which is all that the
# build knows: no package that is not in the lock can get into a VM.
fetch() {
  local name version_ of digest file
  mkdir -p "$cache/debs/partial"
  : >"$work/missing"
  while read -r name version_ of digest; do
    file=$(file_of "$name" "$version_" "$of")
    # The sandbox's recipe may have the same file.
    if [ ! -f "$cache/debs/$file" ] && [ -f "$home/cache/debs/$file" ]; then ln "$home/cache/debs/$file" "$cache/debs/" 2>/dev/null || true; fi
    if ! is_file_of "$digest" "$cache/debs/$file"; then
      rm -f "$cache/debs/$file"
      echo "$name $version_ $of $digest" >>"$work/missing"
    fi
  done <"$lock"
  if [ -s "$work/missing" ]; then download_missing; fi
  make_repository
  set_vm_time
}

is_file_of() { [ -f "$2" ] && [ "$(sha256sum "$2" | cut -d' ' -f1)" = "$1" ]; }

download_missing() {
  local name version_ of digest file wanted=()
  say "downloading $(wc -l <"$work/missing") packages"
  prepare_vm_apt
  list_archive
  awk 'NR == FNR { there[$1 " " $2 " " $3]; next } !(($1 " " $2 " " $3) in there)' "$work/archive" "$work/missing" >"$work/moved"
  if [ -s "$work/moved" ]; then
    say "the archive no longer has these packages of $lock:"
    while read -r name version_ _; do say "  $name $version_ (now: $(now_in_archive "$name"))"; done <"$work/moved"
    say "  take what it has today: vagrant/image/build --update"
    exit 3
  fi
  while read -r name version_ _; do wanted+=("$name=$version_"); done <"$work/missing"
  (cd "$cache/debs" && private_apt download "${wanted[@]}") ||
    die "not every package could be downloaded" "check the network and run this again: it goes on where it stopped"
  while read -r name version_ of digest; do
    file=$cache/debs/$(file_of "$name" "$version_" "$of")
    is_file_of "$digest" "$file" || { rm -f "$file"; die "$name $version_ is not what the lock says: its sha256 is not $digest" \
      "the archive or the lock has been changed; if it is the archive, and you trust it: vagrant/image/build --update"; }
  done <"$work/missing"
}

# Writes to $work/archive what the archive has, as lines of a lock.
list_archive() {
  APT_CONFIG=$cache/apt/apt.conf apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages' | while IFS= read -r file; do
    /usr/lib/apt/apt-helper cat-file "$file"
  done | awk '
    /^Package: / { name = $2 } /^Version: / { version = $2 } /^Architecture: / { of = $2 } /^SHA256: / { digest = $2 }
    /^$/ { print name, version, of, digest }' | LC_ALL=C sort -u >"$work/archive"
}

now_in_archive() {
  local candidate
  candidate=$(APT_CONFIG=$cache/apt/apt.conf apt-cache policy "$1" | sed -n 's/^  Candidate: //p')
  echo "${candidate:-none}"
}

make_repository() {
  local name version_ of digest file
  debs=$work/repository
  mkdir "$debs"
  while read -r name version_ of digest; do
    file=$(file_of "$name" "$version_" "$of")
    ln "$cache/debs/$file" "$debs/$file"
    dpkg-deb --field "$debs/$file"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$debs/$file")" "$digest"
  done <"$lock" >"$work/Packages"
  mv "$work/Packages" "$debs/Packages"
  # mmdebstrap asks for the essential packages of a suite, so the repository has to say that it is that suite.
  printf '%s\n' "Suite: $release" "Codename: $release" "Architectures: $architecture all" "SHA256:" \
    " $(sha256sum <"$debs/Packages" | cut -d' ' -f1) $(stat -c %s "$debs/Packages") Packages" >"$debs/Release"
  # It is copied into the new system, whose path is known to a hook only. Its bytes were checked already: no signature.
  apt_sources=("$work/locked.list")
  echo "deb [trusted=yes] copy:ROOT_OF_THE_NEW_SYSTEM/var/cache/apt/archives ./" >"$work/locked.list"
  source_hooks=(--setup-hook='sed -i "s|ROOT_OF_THE_NEW_SYSTEM|$1|" "$1"/etc/apt/sources.list.d/*locked.list'
    --customize-hook='rm -f "$1"/var/cache/apt/archives/{Packages,Release}')
  apt_settings=$work/apt-settings
  echo 'Acquire::Languages "none";' >"$apt_settings"
  docker_package=docker.io
  if in_lock docker-cli; then docker_package="docker-cli"; fi
  usr_merge=()
  if [ -d $usr_merge_hook ] && in_lock usr-is-merged; then usr_merge=(--include=usr-is-merged "--hook-dir=$usr_merge_hook"); fi
}

# The latest time in a VM is when the newest of its packages was built, which is the same on every machine: it
# stands in the header of the first member of the file.
set_vm_time() {
  local deb newest=0 time
  for deb in "$debs"/*.deb; do
    time=$(head -c 36 "$deb" | tail -c 12)
    if ((time > newest)); then newest=$((time)); fi
  done
  fix_time $newest
}
