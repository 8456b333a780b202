# Which images there are, and index.json, which tells the engine about them. An image that stands in for
# another says so in a tag of its own, in a label and in its /etc/os-release.

build_parts() {
  mkdir -p "$work/layers" "$work/entries"
  part lab-host build_lab_host packages/lab-host lab-host dpkg.cfg
  ln "$part_tar" "$work/lab-host.tar"

  part "$distribution" build_distribution packages/distribution dpkg.cfg
  local own other=ubuntu Other=Ubuntu
  add_layer; own=$layer
  [ "$distribution" = ubuntu ] && other=debian Other=Debian
  image "$own" bash "made of $pretty_name packages, not downloaded from a registry" \
    "$distribution:$version" "$distribution:$release" "$distribution:latest" "isolab/$distribution-from-packages:$version"
  part "$other-stand-in" "build_${other}_stand_in" dpkg.cfg; add_layer
  local tags=("$other:latest")
  [ "$other" = debian ] && tags+=(debian:12)
  image "$own $layer" bash "$pretty_name standing in for $Other" \
    "${tags[@]}" "isolab/$distribution-standing-in-for-$other:$version"

  part busybox build_busybox busybox; add_layer; own=$layer
  image "$own" sh "the busybox of $pretty_name, not downloaded from a registry" \
    busybox:latest "isolab/busybox-from-packages:$version"
  part alpine-stand-in build_alpine_stand_in dpkg.cfg; add_layer
  image "$own $layer" sh "the busybox of $pretty_name standing in for Alpine" \
    alpine:latest "isolab/busybox-standing-in-for-alpine:$version"
}

# Puts the part among the layers; sets layer to its diff id, which is the digest of the uncompressed tar.
add_layer() {
  layer=$(sha256sum "$part_tar" | cut -d' ' -f1)
  ln -f "$part_tar" "$work/layers/$layer.tar"
}

# image LAYERS SHELL NOTE TAGS...: one entry of the index, with the configuration that the OCI image format asks for.
image() {
  local layers=$1 shell=$2 note=$3 size=0 layer
  shift 3
  for layer in $layers; do size=$((size + $(stat -c %s "$work/layers/$layer.tar"))); done
  # shellcheck disable=SC2086 # one argument per layer
  jq -n --arg shell "$shell" --arg note "$note" --arg created "$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)" \
    --arg architecture "$architecture" --argjson size "$size" --arg layers "$layers" \
    '($layers | split(" ")) as $layers | {
      tags: $ARGS.positional, layers: $layers, size_bytes: $size, created: $created,
      config: {
        created: $created, architecture: $architecture, os: "linux",
        config: {
          Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
          Cmd: [$shell],
          Labels: {"org.opencontainers.image.description": $note}
        },
        rootfs: {type: "layers", diff_ids: ($layers | map("sha256:" + .))},
        history: ($layers | map({created: $created, created_by: "sandbox/images/build", comment: $note}))
      }
    }' --args "$@" >"$work/entries/$(ls "$work/entries" | wc -l).json"
}

# write_index RECIPE_DIGEST
write_index() {
  jq -s --arg recipe "$1" '{recipe: $recipe, images: .}' "$work"/entries/*.json >"$work/index.json"
  find "$work" -mindepth 1 -maxdepth 1 ! -name lab-host.tar ! -name layers ! -name index.json -exec rm -rf {} +
}
