# What the VM reads: its root, the container images and the initrd.

# Virtual size of base.ext4, which is how much a VM can hold beside what it comes with. The file is sparse.
readonly BASE_SIZE=3G

# Fixed, so that the same contents make the same file system.
readonly BASE_UUID=6973006c-6162-4000-8000-000000000001
readonly IMAGES_UUID=6973006c-6162-4000-8000-000000000002

# What /init loads, in this order; each comes with the modules it depends on. ext4, virtio_pci and virtio_console are
# built into the kernel.
initrd_modules=(virtio_blk overlay configfs)

vm_packages() { sed 's/#.*//' "$here/packages/vm" | xargs; }

need_vm_tools() {
  need_tools
  local missing=() tool
  for tool in mke2fs:e2fsprogs xz:xz-utils unshare:util-linux; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
  done
  [ ${#missing[@]} = 0 ] || die "not installed: ${missing[*]}" "sudo apt-get install ${missing[*]}"
  [ "$(id -u)" = 0 ] || unshare --map-auto true 2>/dev/null ||
    die "a user namespace with the subordinate ids of $(id -un) cannot be made by unshare --map-auto" \
      "it needs util-linux 2.38 or newer, and a kernel that lets ordinary users make user namespaces"
}

# in_namespace COMMAND...: where all the owners of a system's files exist. COMMAND may be a function of this file.
in_namespace() {
  local code='set -euo pipefail; "$@"'
  if [ "$(type -t "$1")" = function ]; then code="$(declare -f "$1"); $code"; fi
  if [ "$(id -u)" = 0 ]; then
    bash -c "$code" bash "$@"
  else
    unshare --map-root-user --map-auto bash -c "$code" bash "$@"
  fi
}

build_root() {
  part_also="$kernel_release $(sha256sum <"$lock") $(vm_packages) $(declare -f build_lab_host take_kernel)"
  part vm-root build_vm_root packages/lab-host lab-host dpkg.cfg
  part_also=
}

# The lab host as the sandbox has it, the packages that only a VM can use, and the kernel's modules.
build_vm_root() {
  pack "$work/kernel/files" "$work/kernel.tar"
  build_lab_host "$1" --include="$(vm_packages)" \
    --customize-hook="tar-in '$work/kernel.tar' /" \
    --customize-hook="chroot \"\$1\" depmod --all '$kernel_release'" \
    --customize-hook=': >"$1/etc/machine-id"; rm -f "$1"/etc/ssh/ssh_host_*'
}

# write_base FILE
write_base() { in_namespace make_base "$part_tar" "$work/tree" "$1" "$BASE_SIZE" "$BASE_UUID"; }

# make_base TAR TREE FILE SIZE UUID. Everything is written now (no lazy initialisation): what the first mount would write
# is then not in every VM's overlay.
make_base() {
  local tar=$1 tree=$2 file=$3 size=$4 uuid=$5
  export PATH=$PATH:/usr/sbin:/sbin E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
  mkdir "$tree"
  tar --extract --file "$tar" --directory "$tree" --numeric-owner --same-owner --same-permissions --xattrs --xattrs-include='*'
  mke2fs -q -t ext4 -d "$tree" -L isolab-root -U "$uuid" -b 4096 -m 1 -J size=4 -O ^resize_inode \
    -E "hash_seed=$uuid,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0" "$file" "$size" >/dev/null
  fallocate --dig-holes "$file"
  rm -rf "$tree"
}

# write_images FILE
write_images() { in_namespace make_images "$images/current" "$work/tree" "$1" "$IMAGES_UUID"; }

# make_images IMAGES TREE FILE UUID: the index, each layer unpacked, and each as the archive it was: an engine of an ordinary user
# unpacks those itself. It is never written to, so it has no journal and no room to spare.
make_images() {
  local from=$1 tree=$2 file=$3 uuid=$4 archive layer blocks inodes
  export PATH=$PATH:/usr/sbin:/sbin E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
  mkdir -p "$tree"/{layers,archives}
  cp "$from/index.json" "$tree/"
  for archive in "$from"/layers/*.tar; do
    layer=$tree/layers/$(basename "$archive" .tar)
    mkdir "$layer"
    tar --extract --file "$archive" --directory "$layer" --numeric-owner --same-owner --same-permissions --xattrs --xattrs-include='*'
    cp "$archive" "$tree/archives/"
  done
  chmod 644 "$tree/index.json" "$tree"/archives/*
  chmod 755 "$tree" "$tree"/{layers,archives}
  touch --date="@$SOURCE_DATE_EPOCH" "$tree"/archives/* "$tree"/{index.json,layers,archives} "$tree"
  read -r inodes blocks < <(find "$tree" -printf '%y %s\n' |
    awk '{ inodes++; blocks += $1 == "f" ? int(($2 + 4095) / 4096) : 1 } END { print inodes + 64, blocks }')
  # An inode takes a sixteenth of a block; bitmaps, descriptors and the tables' rounding take less than the rest.
  mke2fs -q -t ext4 -d "$tree" -L isolab-images -U "$uuid" -b 4096 -m 0 -N "$inodes" -O ^has_journal,^resize_inode \
    -E "hash_seed=$uuid,root_owner=0:0,lazy_itable_init=0" "$file" $(((blocks + inodes / 16) * 102 / 100 + 1024)) >/dev/null
  fallocate --dig-holes "$file"
  rm -rf "$tree"
}

# write_initrd FILE: busybox, the modules in the order in which /init loads them, and /init. It is not compressed: reading
# it costs less than unpacking it.
write_initrd() {
  local root=$work/initrd deb=$work/busybox-deb kernel=$work/initrd-modules command file
  mkdir -p "$root"/{bin,dev,proc,root,modules,etc} "$deb" "$kernel"
  dpkg-deb --extract "$(deb_of busybox-static)" "$deb"
  cp "$deb/bin/busybox" "$root/bin/" 2>/dev/null || cp "$deb/usr/bin/busybox" "$root/bin/"
  for command in sh cat mount mkdir insmod ip switch_root poweroff sleep; do ln -s busybox "$root/bin/$command"; done
  cp "$here/init" "$root/init"
  chmod 755 "$root/init"
  tar --extract --file "$part_tar" --directory "$kernel" "./usr/lib/modules/$kernel_release/modules.dep"
  module_files "$kernel/usr/lib/modules/$kernel_release/modules.dep" | while IFS= read -r file; do
    unpack_module "$work/kernel/files/usr/lib/modules/$kernel_release/$file" "$root/modules"
    basename "$file" | sed 's/\.ko.*/.ko/' >>"$root/etc/modules"
  done
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  (cd "$root" && find . | LC_ALL=C sort | "$root/bin/busybox" cpio -o -H newc -R 0:0 --renumber-inodes --ignore-devno) >"$1" 2>"$work/cpio.log" || {
    cat "$work/cpio.log" >&2
    die "busybox cpio could not write the initrd"
  }
}

# module_files MODULES.DEP: the files that initrd_modules need, each once, and behind what it depends on.
module_files() {
  local module
  for module in "${initrd_modules[@]}"; do
    # A line of depmod is "FILE: DEPENDENCIES", of which the last has to be loaded first.
    awk -F': *' -v name="$module" '$1 ~ "/" name "\\.ko" { n = split($2, needs, " "); while (n) print needs[n--]; print $1; found = 1 }
      END { exit !found }' "$1" || die "the kernel $kernel_release has no module $module" >&2
  done | awk '!seen[$0]++'
}

unpack_module() {
  case $1 in
    *.ko) cp "$1" "$2/" ;;
    *.ko.xz) xz --decompress --stdout "$1" >"$2/$(basename "$1" .xz)" ;;
    *.ko.zst) zstd --decompress --stdout --quiet "$1" >"$2/$(basename "$1" .zst)" ;;
    *) die "the module $(basename "$1") is packed in a way that is not known here" ;;
  esac
}
