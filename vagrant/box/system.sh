# The VM's system: packages, the accounts and files of this recipe, and what starts it. It holds nothing of Isolab, so
# that a new version of the programs does not need a new system.

# The account that Isolab runs as. A fixed id, because its files are written from outside the system.
readonly ISOLAB_ID=800

system_packages() {
  sed 's/#.*//' "$here/packages/box" "$here/packages/boot-$architecture" | xargs
  if [ "$with_qemu" = 1 ]; then sed 's/#.*//' "$here/packages/qemu" | xargs; fi
}

# What is better taken from the backports of a release, if they can be had: the kernel of bookworm has no extended attributes
# of users on tmpfs, without which a lab cannot replace a folder of an image; and its QEMU cannot emulate the lab VM's kernel.
newer_packages() {
  case $release in
    bookworm) sed 's/#.*//' "$here/packages/boot-$architecture" | xargs -n 1 | grep '^linux-image-' ;;
  esac
  if [ "$with_qemu" = 1 ] && [ "$release" = bookworm ]; then sed 's/#.*//' "$here/packages/qemu" | xargs -n 1; fi
}

# Sets system to the tar of it, which is there if a build got so far.
find_system() {
  local digest
  digest=$({ echo "$distribution $release $architecture $ISOLAB_ID $(system_packages)"
    sha256sum <"$recipe/dpkg.cfg"
    cd "$here" && find system.sh customize files -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum | cut -c1-32)
  system=$cache/parts/system-$digest.tar
}

# Sets packages: those of the lists, each from where it is best taken.
choose_packages() {
  mapfile -t packages < <(system_packages | xargs -n 1)
  local newer; newer=$(newer_packages)
  [ -n "$newer" ] || return 0
  if ! add_backports; then say "  $release-backports cannot be had here: $(xargs <<<"$newer") is the one of $release"; return; fi
  mapfile -t packages < <(awk -v suite="/$release-backports" 'NR == FNR { newer[$1]; next } { print $1 ($1 in newer ? suite : "") }' \
    <(echo "$newer") <(printf '%s\n' "${packages[@]}"))
}

# The machine's own entry for the release, with the name of the backports in it, has the right address and key.
add_backports() {
  local targets entry file number suite=$release-backports
  targets=$(APT_CONFIG=$cache/apt/apt.conf apt-get indextargets --format '$(RELEASE)/$(COMPONENT) $(SOURCESENTRY)' 'Created-By: Packages')
  if grep -q "^$suite/main " <<<"$targets"; then return 0; fi
  entry=$(sed -n "s|^$release/main ||p" <<<"$targets" | head -n 1)
  [ -n "$entry" ] || return 1
  # An entry is FILE:NUMBER, where the number is a line's, or a paragraph's in the newer format.
  file=${entry%:*} number=${entry##*:}
  local added=$cache/apt/sources.d/$suite.${file##*.}
  case $file in
    *.sources) awk -v RS= -v number="$number" 'NR == number' "$file" | sed -E "s/^Suites:.*/Suites: $suite/" ;;
    *) sed -nE "$number s/[[:space:]]${release}[[:space:]]/ $suite /p" "$file" ;;
  esac >"$added"
  if private_apt update && in_archive "$(head -n 1 <<<"$newer")/$suite"; then apt_sources+=("$added"); return 0; fi
  rm -f "$added"
  private_apt update
  return 1
}

# Downloads before anything is built: apt takes up again where a download broke off, which a half-built system cannot.
fetch() {
  local mend="check the network and run this again: it goes on where it stopped"
  prepare_apt
  private_apt update || die "the package lists could not be fetched" "$mend"
  choose_packages
  usr_merge=()
  local hook=/usr/share/mmdebstrap/hooks/maybe-merged-usr
  if [ -d $hook ] && in_archive usr-is-merged; then usr_merge=(--include=usr-is-merged "--hook-dir=$hook"); fi
  # shellcheck disable=SC2046 # package names have no spaces
  private_apt install --download-only '?essential' ${usr_merge:+usr-is-merged} "${packages[@]}" ||
    die "not every package could be downloaded" "$mend"
}

build_system() {
  local mode=unshare files=$work/files alone=()
  # Root's mmdebstrap mounts things, and would go on if this script were killed: in namespaces of its own all of it ends at once.
  # An ordinary user's makes some itself.
  if [ "$(id -u)" = 0 ]; then
    mode=root
    mkdir "$work/tmp"
    alone=(env TMPDIR="$work/tmp" setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child --mount-proc)
  fi
  cp -r "$here/files" "$files"
  chmod -R u=rwX,go=rX "$files"
  chmod 440 "$files/etc/sudoers.d/vagrant"
  chmod 755 "$files/usr/bin/isolab"
  tar --create --file "$work/files.tar" --directory "$files" --owner=0 --group=0 --numeric-owner .
  # The settings of this machine's apt (a proxy, say) are needed to build and do not belong in the result.
  LC_ALL=C "${alone[@]}" mmdebstrap --quiet --mode=$mode --variant=essential --format=tar \
    --include="${packages[*]}" --aptopt="$apt_settings" --dpkgopt="$recipe/dpkg.cfg" \
    --skip=download/empty --skip=essential/unlink --skip=output/dev \
    --setup-hook='mkdir -p "$1/var/cache/apt/archives"' \
    --setup-hook="sync-in '$debs' /var/cache/apt/archives" "${usr_merge[@]}" \
    --essential-hook="tar-in '$work/files.tar' /" \
    --customize-hook="copy-in '$here/customize' /tmp" \
    --customize-hook="chroot \"\$1\" /bin/bash /tmp/customize $ISOLAB_ID $architecture" \
    --customize-hook='rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/tmp/customize' \
    --customize-hook='rm -rf "$1"/etc/resolv.conf "$1"/var/cache/apt/archives/*' \
    "$release" "$work/system.tar" "${apt_sources[@]}" >"$work/mmdebstrap.log" 2>&1 || {
    tail -n 30 "$work/mmdebstrap.log" >&2
    die "mmdebstrap could not build a system" "the end of its log is above; run this again once that is mended"
  }
  mv "$work/system.tar" "$system"
}
