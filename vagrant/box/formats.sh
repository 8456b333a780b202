# The box around the disk, as each provider of vagrant wants it. That of libvirt is tried by `make vagrant-test`; those of
# VirtualBox and VMware were written without either at hand, and only their disks have been started (in QEMU, with the same
# kinds of disk and network card).

# The card's address while a box is imported; vagrant gives each VM its own.
readonly BOX_MAC=080027150c0d

formats="libvirt virtualbox vmware_desktop"

# write_box FOLDER FILE RAW. The tar is compressed only where the disk in it is not.
write_box() {
  local folder=$1 file=$2 raw=$3 compressed=()
  [ "$format" != vmware_desktop ] || compressed=(--gzip)
  cp "$here/Vagrantfile" "$folder/Vagrantfile"
  "write_$format" "$folder" "$raw"
  rm "$raw"
  tar --create "${compressed[@]}" --file "$file" --directory "$folder" --owner=0 --group=0 --numeric-owner --sort=name .
}

# Also what the provider qemu (vagrant-qemu) reads.
write_libvirt() {
  qemu-img convert -c -m 2 -O qcow2 -o compression_type=zstd,cluster_size=131072 "$2" "$1/box.img"
  jq -n --argjson size "$DISK_GIB" --arg architecture "$architecture" \
    '{provider: "libvirt", format: "qcow2", virtual_size: $size, architecture: $architecture}' >"$1/metadata.json"
}

# VMware runs a VM on the disk as it is, and not on a compressed one.
write_vmware_desktop() {
  qemu-img convert -O vmdk -o subformat=monolithicSparse "$2" "$1/disk.vmdk"
  jq -n --arg architecture "$architecture" '{provider: "vmware_desktop", architecture: $architecture}' >"$1/metadata.json"
  cat >"$1/isolab.vmx" <<'END'
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "14"
displayName = "isolab"
guestOS = "debian11-64"
firmware = "bios"
memsize = "2048"
numvcpus = "2"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "disk.vmdk"
ethernet0.present = "TRUE"
ethernet0.connectionType = "nat"
ethernet0.virtualDev = "vmxnet3"
ethernet0.addressType = "generated"
pciBridge0.present = "TRUE"
pciBridge4.present = "TRUE"
pciBridge4.virtualDev = "pcieRootPort"
pciBridge4.functions = "8"
vmci0.present = "TRUE"
END
}

# VirtualBox imports the disk, and unpacks it then.
write_virtualbox() {
  qemu-img convert -O vmdk -o subformat=streamOptimized "$2" "$1/disk.vmdk"
  jq -n --arg architecture "$architecture" '{provider: "virtualbox", architecture: $architecture}' >"$1/metadata.json"
  sed -i "s/^end$/  config.vm.base_mac = \"$BOX_MAC\"\nend/" "$1/Vagrantfile"
  cat >"$1/box.ovf" <<END
<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References><File ovf:id="file1" ovf:href="disk.vmdk"/></References>
  <DiskSection>
    <Info>The disk</Info>
    <Disk ovf:capacity="$((DISK_GIB << 30))" ovf:diskId="disk1" ovf:fileRef="file1"
      ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>The network</Info>
    <Network ovf:name="NAT"><Description>To the machine, and through it</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id="isolab">
    <Info>Isolab</Info>
    <OperatingSystemSection ovf:id="96"><Info>The system</Info><Description>Debian_64</Description></OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>The hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>isolab</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:Caption>2 processors</rasd:Caption>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>2</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits>
        <rasd:Caption>2048 MB of memory</rasd:Caption>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>2048</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:Caption>SATA</rasd:Caption>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>AHCI</rasd:ResourceSubType>
        <rasd:ResourceType>20</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:Caption>Disk</rasd:Caption>
        <rasd:HostResource>/disk/disk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Caption>Network card</rasd:Caption>
        <rasd:Connection>NAT</rasd:Connection>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>virtio</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
END
}
