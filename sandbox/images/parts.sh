# The parts that images are put together from, each a tar. A part is kept in the cache under the digest of what went
# into it, so that a changed recipe builds only the parts it touches.

# The names in a package list, without its comments.
packages_of() { sed 's/#.*//' "$recipe/packages/$1" | xargs; }

usr_merge_hook=/usr/share/mmdebstrap/hooks/maybe-merged-usr

# Downloads all that the parts need before any of them is built: apt takes up again where a download
# broke off, which a half-built system cannot.
download() {
  local mend=("check the network and run this again: it goes on where it stopped")
  say "downloading packages"
  private_apt update || die "the package lists could not be fetched" "${mend[@]}"
  # Where /usr is merged from the start, the script that would merge it (40 MB with its Perl) is not needed.
  usr_merge=()
  if [ -d $usr_merge_hook ] && in_archive usr-is-merged; then usr_merge=(--include=usr-is-merged "--hook-dir=$usr_merge_hook"); fi
  # shellcheck disable=SC2046 # package names have no spaces
  private_apt install --download-only '?essential' ${usr_merge:+usr-is-merged} $(packages_of lab-host) $(packages_of distribution) ||
    die "not every package could be downloaded" "${mend[@]}"
  # The command line alone where the distribution packages it so; otherwise it is taken out of the daemon's package.
  docker_package=docker.io
  if in_archive docker-cli; then docker_package="docker-cli"; fi
  (cd "$debs" && private_apt download "$docker_package" busybox-static) ||
    die "$docker_package or busybox-static could not be downloaded" "${mend[@]}"
  # Every time stamp in an image is at most that of the newest package list.
  fix_time "$(sed -n 's/^Date: //p' "$cache"/apt/state/lists/*Release | xargs -d '\n' -I{} date -d {} +%s | sort -n | tail -1)"
}

# fix_time SECONDS: the latest time that anything in a result may have.
fix_time() {
  export SOURCE_DATE_EPOCH=$1
  tar_as_root=(--sort=name --owner=0 --group=0 --numeric-owner "--mtime=@$SOURCE_DATE_EPOCH" --format=pax
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime")
}

deb_of() { find "$debs" -maxdepth 1 -name "$1_*.deb" -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-; }

# part NAME BUILDER INPUTS...: sets part_tar to the tar that `BUILDER` writes to the file it is given. What else it depends on
# is in part_also.
part() {
  local name=$1 builder=$2 digest
  shift 2
  digest=$({ echo "$distribution $release $architecture $version $subordinate_ids ${part_also-}"; declare -f "$builder" bootstrap pack
    cd "$recipe" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum | cut -c1-32)
  part_tar=$cache/parts/$name-$digest.tar
  if [ -f "$part_tar" ]; then touch "$part_tar"; return; fi
  say "building $name"
  mkdir -p "$cache/parts"
  "$builder" "$work/part.tar"
  mv "$work/part.tar" "$part_tar"
}

# A tar of folder $1 as file $2: owned by root, in a fixed order, with a fixed time.
pack() { tar --create --file "$2" --directory "$1" "${tar_as_root[@]}" .; }

# Options of mmdebstrap that a recipe needs before the new system's apt is first used.
source_hooks=()

# bootstrap TAR PACKAGES OPTIONS...: the essential set and PACKAGES, installed and configured.
bootstrap() {
  local tar=$1 packages=$2 mode=unshare
  shift 2
  [ "$(id -u)" = 0 ] && mode=root
  # The settings of this machine's apt (a proxy, say) are needed to build and do not belong in the result.
  LC_ALL=C mmdebstrap --quiet --mode=$mode --variant=essential --format=tar \
    --include="$packages" --aptopt="$apt_settings" --dpkgopt="$recipe/dpkg.cfg" \
    --skip=download/empty --skip=essential/unlink --skip=output/dev \
    --setup-hook='mkdir -p "$1/var/cache/apt/archives"' \
    --setup-hook="sync-in '$debs' /var/cache/apt/archives" "${source_hooks[@]}" "${usr_merge[@]}" \
    --customize-hook='rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/var/log/* "$1"/var/cache/debconf/*' \
    --customize-hook='rm -f "$1"/var/cache/apt/archives/lock; chown -R 0:0 "$1/var/cache/apt"' \
    --customize-hook='rm -f "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/machine-id "$1"/etc/*-' \
    "$@" \
    "$release" "$tar" "${apt_sources[@]}" >"$work/mmdebstrap.log" 2>&1 || {
    tail -n 30 "$work/mmdebstrap.log" >&2
    die "mmdebstrap could not build a system" "the end of its log is above; run this again once that is mended"
  }
  # mmdebstrap leaves out /dev with the nodes in it, which an ordinary user could not unpack; the folder is needed.
  mkdir -p "$work/empty/dev"
  tar --append --file "$tar" --directory "$work/empty" "${tar_as_root[@]}" ./dev
}

# A lab host has 30720 subordinate ids (sandbox/agent/src/ids.rs): two thirds are of containers with ids of their own
# (userns-remap), in a range that lies where Docker would put it; the rest is for users.
subordinate_ids='sed -i -E "s/^(SUB_[UG]ID_MAX).*/\1 130719/; s/^(SUB_[UG]ID_COUNT).*/\1 4096/" "$1/etc/login.defs"
  echo dockremap:100000:20480 | tee "$1/etc/subuid" >"$1/etc/subgid"'

# build_lab_host TAR OPTIONS...
build_lab_host() {
  local tar=$1 files=$work/files docker=$work/docker
  shift
  mkdir -p "$docker" && dpkg-deb --extract "$(deb_of $docker_package)" "$docker"
  cp -r "$recipe/lab-host" "$files"
  # Mount points of the agent: the engine, and the images that it lists.
  mkdir -p "$files"/usr/lib/isolab/images/{layers,archives} "$files"/usr/{bin,share/bash-completion/completions,share/doc/docker} "$files"/var/lib/docker "$files"/etc/docker
  touch "$files"/usr/lib/isolab/isolab-engine "$files"/usr/lib/isolab/images/index.json
  cp "$docker/usr/bin/docker" "$files/usr/bin/"
  cp "$docker/usr/share/bash-completion/completions/docker" "$files/usr/share/bash-completion/completions/"
  cp "$docker/usr/share/doc/$docker_package/copyright" "$files/usr/share/doc/docker/"
  chmod -R u=rwX,go=rX "$files"
  chmod 700 "$files/root"
  # An ordinary user's shell is like root's, and there is a place for what an engine of their own keeps.
  mkdir -p "$files/etc/skel/.local/share" && cp "$files"/root/{.bashrc,.profile} "$files/etc/skel/"
  pack "$files" "$work/files.tar"
  bootstrap "$tar" "$(packages_of lab-host)" --customize-hook='chroot "$1" groupadd --system docker' \
    --customize-hook="tar-in '$work/files.tar' /" --customize-hook="$subordinate_ids" \
    --customize-hook='chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash learner; rm -f "$1"/etc/*-' "$@"
}

build_distribution() { bootstrap "$1" "$(packages_of distribution)"; }

# Debian's own busybox, one link per command.
build_busybox() {
  local root=$work/busybox deb=$work/busybox-deb command
  mkdir -p "$deb" "$root"/{bin,sbin,dev,etc,home,proc,root,run,sys,tmp,usr/bin,usr/sbin,var/log}
  dpkg-deb --extract "$(deb_of busybox-static)" "$deb"
  cp "$deb/bin/busybox" "$root/bin/busybox" 2>/dev/null || cp "$deb/usr/bin/busybox" "$root/bin/busybox"
  for command in $("$root/bin/busybox" --list); do
    [ "$command" = busybox ] || ln -s busybox "$root/bin/$command"
  done
  cp "$recipe"/busybox/etc/* "$root/etc/"
  write_os_release "$root/etc/os-release" "BusyBox of $pretty_name" busybox
  chmod -R u=rwX,go=rX "$root/etc"
  chmod 1777 "$root/tmp" && chmod 700 "$root/root"
  pack "$root" "$1"
}

# write_os_release FILE NAME ID
write_os_release() {
  printf 'PRETTY_NAME="%s"\nNAME="%s"\nID=%s\nVERSION_ID="%s"\nVERSION_CODENAME=%s\n' \
    "$2" "$2" "$3" "$version" "$release" >"$1"
}

# A layer that holds an os-release and nothing else: what an image is called on must not hide what it is.
build_ubuntu_stand_in() { build_stand_in "$1" Ubuntu; }
build_debian_stand_in() { build_stand_in "$1" Debian; }
build_stand_in() {
  local root=$work/stand-in-$2
  mkdir -p "$root/usr/lib"
  write_os_release "$root/usr/lib/os-release" "$pretty_name, standing in for $2" "$distribution"
  pack "$root" "$1"
}

build_alpine_stand_in() {
  local root=$work/stand-in-alpine
  mkdir -p "$root/etc"
  write_os_release "$root/etc/os-release" "BusyBox of $pretty_name, standing in for Alpine" busybox
  pack "$root" "$1"
}
