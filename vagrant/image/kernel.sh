# The VM's kernel: which package it is, and what is taken out of it. Its modules all go into the root; see packages/vm for
# what loads them.

# Sets kernel_suite, kernel_meta (the package that depends on the newest kernel) and kernel_file (its name in the result).
# The kernel is 6.12 or newer: older ones keep a restored VM's random numbers those of its template.
know_kernel() {
  case $distribution-$release in
    debian-bookworm) kernel_suite=bookworm-backports ;;
    debian-trixie | debian-forky | debian-sid) kernel_suite=$release ;;
    *) die "which kernel of $pretty_name suits a lab VM is not known" "known are those of Debian 12 (bookworm) and newer" \
      "build the VM on such a machine and copy \$ISOLAB_HOME/vm here" ;;
  esac
  case $architecture in
    amd64) kernel_file=vmlinux ;;
    arm64) kernel_file=Image ;;
    *) die "lab VMs are built for amd64 and arm64, and this is $architecture" "labs of the sandbox tier work here" ;;
  esac
  kernel_meta=linux-image-cloud-$architecture
}

# Words for the kernel's command line that hold wherever it runs; consoles and the like are the runner's.
#   cryptomgr.notests    the self-tests of ciphers take most of a second under emulation
#   panic=-1             a kernel that cannot go on ends at once, rather than hang where nobody looks
#   quiet                printing is slow under emulation
kernel_cmdline() { echo "quiet panic=-1 cryptomgr.notests"; }

# The kernel package that the meta package of the suite depends on today.
newest_kernel() {
  local depends
  depends=$(APT_CONFIG=$cache/apt/apt.conf apt-cache show --no-all-versions "$kernel_meta/$kernel_suite" 2>/dev/null |
    grep -oE '^Depends: linux-image-[^ ,]+' | head -n 1 | cut -d' ' -f2)
  [ -n "$depends" ] || die "the archive has no $kernel_meta in $kernel_suite"
  echo "$depends"
}

# Sets kernel_release; writes the kernel to the result, and its modules to $work/kernel/files.
take_kernel() {
  local package modules unpacked=$work/kernel/package files=$work/kernel/files
  package=$(grep -oE '^linux-image-[0-9][^ ]*' "$lock") || die "$lock names no kernel" "vagrant/image/build --update"
  mkdir -p "$unpacked" "$files"/usr/{lib,share/doc} "$files/boot"
  dpkg-deb --extract "$(deb_of "$package")" "$unpacked"
  modules=$(find "$unpacked" -path '*lib/modules/*' -prune -print -quit)
  [ -n "$modules" ] || die "$package has no modules in it"
  kernel_release=$(basename "$modules")
  mkdir "$files/usr/lib/modules"
  mv "$modules" "$files/usr/lib/modules/"
  # How the kernel was configured is where every tutorial looks for it.
  cp "$unpacked/boot/config-$kernel_release" "$files/boot/"
  mkdir "$files/usr/share/doc/$package" && cp "$unpacked/usr/share/doc/$package/copyright" "$files/usr/share/doc/$package/"
  chmod -R u=rwX,go=rX "$files"
  case $architecture in
    arm64) cp "$unpacked/boot/vmlinuz-$kernel_release" "$work/result/$kernel_file" ;;
    *) unpack_bzimage "$unpacked/boot/vmlinuz-$kernel_release" "$work/result/$kernel_file"
      grep -q '^CONFIG_PVH=y' "$files/boot/config-$kernel_release" ||
        die "the kernel $kernel_release has no PVH entry point, by which a VM starts it without a boot loader" ;;
  esac
}

# number FILE OFFSET BYTES: a little-endian number.
number() { od --address-radix=n --endian=little --skip-bytes="$2" --read-bytes="$3" --format="u$3" "$1" | tr -d ' '; }

# unpack_bzimage BZIMAGE VMLINUX. The x86 boot protocol (2.08 and newer) says where the compressed kernel lies: behind the
# setup code, whose length in sectors is at 0x1f1, at payload_offset (0x248) for payload_length (0x24c) bytes, of which the last
# four are the unpacked size.
unpack_bzimage() {
  local from=$1 to=$2 sectors offset length unpack
  [ "$(head -c $((0x206)) "$from" | tail -c 4)" = HdrS ] ||
    die "$(basename "$from") is no bzImage"
  sectors=$(number "$from" $((0x1f1)) 1)
  offset=$((((sectors ? sectors : 4) + 1) * 512 + $(number "$from" $((0x248)) 4)))
  length=$(number "$from" $((0x24c)) 4)
  tail -c +$((offset + 1)) "$from" | head -c $((length - 4)) >"$work/kernel/payload" || true
  case $(od --address-radix=n --read-bytes=4 --format=x1 "$work/kernel/payload" | tr -d ' ') in
    28b52ffd) unpack=(zstd --decompress --stdout --quiet --long=31) ;;
    fd377a58) unpack=(xz --decompress --stdout) ;;
    1f8b*) unpack=(gzip --decompress --stdout) ;;
    *) die "$(basename "$from") is packed in a way that is not known here (zstd, xz and gzip are)" ;;
  esac
  command -v "${unpack[0]}" >/dev/null || die "not installed: ${unpack[0]}" "sudo apt-get install ${unpack[0]}"
  "${unpack[@]}" <"$work/kernel/payload" >"$to"
  [ "$(stat -c %s "$to")" = "$(number "$from" $((offset + length - 4)) 4)" ] && [ "$(head -c 4 "$to" | tail -c 3)" = ELF ] ||
    die "what was in $(basename "$from") is no complete kernel"
}
