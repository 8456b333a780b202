# The VM's disk: one partition, behind which nothing is, and GRUB's loader in the gap before it.

# How much the VM can hold. The file is sparse, and vagrant's copy of it too.
readonly DISK_GIB=8

# Where the partition begins: where every partitioning program lets the first one begin.
readonly PARTITION_SECTOR=2048

# write_disk FILE
write_disk() {
  in_namespace make_disk "$system" "$work/tree" "$1" "$ISOLAB_ID" "$bin" "${programs[*]}" "$images" "$images_digest" \
    "${lab_vm:+$home/vm/$lab_vm}" "$DISK_GIB" "$PARTITION_SECTOR"
}

# make_disk SYSTEM TREE FILE ID BIN PROGRAMS IMAGES DIGEST LAB_VM GIB SECTOR
make_disk() {
  local system=$1 tree=$2 file=$3 id=$4 bin=$5 programs=$6 images=$7 digest=$8 lab_vm=$9 gib=${10} sector=${11} program part end
  export PATH=$PATH:/usr/sbin:/sbin
  mkdir -p "$tree"
  tar --extract --file "$system" --directory "$tree" --numeric-owner --same-owner --same-permissions --xattrs --xattrs-include='*'
  mkdir -p "$tree"/{dev,proc,sys,run,tmp} "$tree/usr/lib/isolab"
  for program in $programs; do install -m 755 "$bin/$program" "$tree/usr/lib/isolab/$program"; done
  # Without what an agent unpacked: that belongs to the ids of another machine's labs.
  mkdir -p "$tree/var/lib/isolab/images/$digest"
  for part in lab-host.tar layers index.json; do cp -r "$images/$digest/$part" "$tree/var/lib/isolab/images/$digest/"; done
  ln -s "$digest" "$tree/var/lib/isolab/images/current"
  if [ -n "$lab_vm" ]; then
    mkdir "$tree/var/lib/isolab/vm"
    cp -r --sparse=always "$lab_vm" "$tree/var/lib/isolab/vm/"
    ln -s "$(basename "$lab_vm")" "$tree/var/lib/isolab/vm/current"
  fi
  chown -R "$id:$id" "$tree/var/lib/isolab"
  chmod -R u=rwX,go=rX "$tree/var/lib/isolab"

  end=$((gib * 1024 * 1024 * 2))
  truncate --size $((end * 512)) "$file"
  # GRUB 2.06 cannot read metadata_csum_seed, which newer programs set by themselves.
  # It also says, on standard error, that the file is no device.
  mke2fs -q -t ext4 -d "$tree" -L isolab -O ^metadata_csum_seed -E "offset=$((sector * 512)),root_owner=0:0" \
    -b 4096 "$file" $(((end - sector) / 8)) >"$tree.log" 2>&1 || { cat "$tree.log" >&2; exit 1; }
  # boot.img loads the sector behind it, and that one what core.img says of itself: both are as they come.
  dd if="$tree/boot/grub/boot.img" of="$file" bs=440 count=1 conv=notrunc status=none
  [ "$(stat -c %s "$tree/boot/grub/core.img")" -lt $(((sector - 1) * 512)) ] || { echo "core.img does not fit before the partition" >&2; exit 1; }
  dd if="$tree/boot/grub/core.img" of="$file" bs=512 seek=1 conv=notrunc status=none
  # The table: one entry (active, Linux, from SECTOR to the end; FE FF FF stands for "see the numbers behind"), and its mark.
  { printf '\x80\xfe\xff\xff\x83\xfe\xff\xff'
    for number in "$sector" $((end - sector)); do
      printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((number & 255)) $((number >> 8 & 255)) $((number >> 16 & 255)) $((number >> 24 & 255)))"
    done
  } | dd of="$file" bs=1 seek=446 conv=notrunc status=none
  printf '\x55\xaa' | dd of="$file" bs=1 seek=510 conv=notrunc status=none
  rm -rf "$tree"
}
