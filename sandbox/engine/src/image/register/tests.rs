//! Archives become layers and come out again to the byte.

use super::*;
use std::os::unix::fs::MetadataExt;

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(vec![]);
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        // Our own: only root may give files away.
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        header.set_mtime(1_700_000_000);
        // Written as it is: the tar crate refuses to write a hostile name.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn store() -> (tempfile::TempDir, Images) {
    let directory = tempfile::tempdir().unwrap();
    let images = Images::open(None, directory.path()).unwrap();
    (directory, images)
}

/// Whiteouts are devices, which not everybody may make.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn an_archive_comes_out_as_it_came_in_however_it_was_compressed() {
    let plain = archive(&[("a", b"content"), ("b", &[7; 100_000])]);
    let zstd =
        ruzstd::encoding::compress_to_vec(plain.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
    let mut bzip2 = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::fast());
    std::io::Write::write_all(&mut bzip2, &plain).unwrap();
    for (came, compression) in [
        (plain.clone(), Compression::Gzip),
        (gzip(&plain), Compression::Gzip),
        (zstd, Compression::Zstd),
        (bzip2.finish().unwrap(), Compression::Gzip),
    ] {
        let (_directory, images) = store();
        let made = images.layer_of_archive(came.as_slice(), Origin::Elsewhere).unwrap();
        assert_eq!((&made.held.digest, made.held.size_bytes), (&Digest::of(&plain), 100_007));
        assert_eq!(made.archive, Digest::of(&came));
        let (record, path) = images.record(&made.held.digest).unwrap();
        let kept = std::fs::read(path).unwrap();
        let archive = record.archive.unwrap();
        assert_eq!((archive.compression, archive.size_bytes), (compression, kept.len() as u64));
        assert_eq!((archive.digest, record.tar_bytes), (Digest::of(&kept).to_string(), plain.len() as u64));
        let mut out = vec![];
        images.write_layer(&made.held.digest, &mut out).unwrap();
        assert_eq!(out, plain);
    }
}

#[test]
fn what_follows_the_end_belongs_to_the_digest() {
    let (_directory, images) = store();
    let padded = [archive(&[("a", b"x")]), vec![0; 10_240]].concat();
    let made = images.layer_of_archive(padded.as_slice(), Origin::Elsewhere).unwrap();
    assert_eq!(made.held.digest, Digest::of(&padded));
}

#[test]
fn a_directory_is_packed_the_same_way_each_time() {
    let (directory, images) = store();
    let tree = directory.path().join("tree");
    std::fs::create_dir_all(tree.join("z/deep")).unwrap();
    std::fs::write(tree.join("z/deep/file"), "content").unwrap();
    std::fs::write(tree.join("a"), "a").unwrap();
    std::fs::hard_link(tree.join("a"), tree.join("z/a")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", tree.join("link")).unwrap();
    let held = images.layer_of_directory(&tree, Ids::Same).unwrap();
    assert_eq!(images.layer_of_directory(&tree, Ids::Same).unwrap().digest, held.digest);
    let (record, _) = images.record(&held.digest).unwrap();
    assert!(record.archive.is_none(), "nothing has to be kept of it");
    let mut out = vec![];
    let (digest, bytes) = images.write_layer(&held.digest, &mut out).unwrap();
    assert_eq!((digest, bytes, out.len() as u64), (held.digest.clone(), record.tar_bytes, record.tar_bytes));
    let layer = images.directory(&held.digest).unwrap();
    let inode = |path: &str| layer.join(path).symlink_metadata().unwrap().ino();
    assert_eq!(inode("a"), inode("z/a"));
    assert!(layer.join("link").is_symlink());
}

#[test]
fn whiteouts_go_through_in_both_directions() {
    if !is_root() {
        return;
    }
    let (_directory, images) = store();
    let came = archive(&[(".wh.gone", b""), ("etc/.wh..wh..opq", b""), ("etc/x", b"x")]);
    let made = images.layer_of_archive(came.as_slice(), Origin::Elsewhere).unwrap();
    let layer = images.directory(&made.held.digest).unwrap();
    let gone = layer.join("gone").symlink_metadata().unwrap();
    assert_eq!((gone.rdev(), gone.mode() & 0o170_000), (0, 0o020_000), "a character device 0:0");
    assert!(!layer.join("etc/.wh..wh..opq").exists());
    let again = images.layer_of_directory(&layer, Ids::Same).unwrap();
    let mut out = vec![];
    images.write_layer(&again.digest, &mut out).unwrap();
    let mut names: Vec<_> = tar::Archive::new(out.as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    names.sort();
    assert_eq!(names, [".wh.gone", "etc/", "etc/.wh..wh..opq", "etc/x"]);
}

#[test]
fn a_hostile_archive_leaves_nothing_behind() {
    let (directory, images) = store();
    let cut = archive(&[("a", &[1; 4096])]);
    for bad in [archive(&[("../escaped", b"x")]), cut[..1024].to_vec(), gzip(&cut)[..20].to_vec()] {
        assert!(images.layer_of_archive(bad.as_slice(), Origin::Elsewhere).is_err());
    }
    assert!(!directory.path().join("overlay2/escaped").exists());
    assert_eq!(std::fs::read_dir(directory.path().join("overlay2")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(directory.path().join("image/overlay2/layerdb")).unwrap().count(), 0);
}

#[test]
fn a_bomb_is_bounded() {
    let (_directory, images) = store();
    let new = images.new_layer().unwrap();
    let bomb = gzip(&archive(&[("zeros", &vec![0; 4 << 20])]));
    assert!(bomb.len() < 20_000);
    let limits = Limits { bytes_max: 1 << 20, ..Limits::default() };
    let error = unpack_layer(bomb.as_slice(), &new, Origin::Elsewhere, limits).unwrap_err();
    assert!(error.to_string().contains("1048576 bytes"), "{error}");
}

#[test]
fn a_layer_that_was_changed_is_not_passed_on() {
    let (directory, images) = store();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let held = images.layer_of_directory(&tree, Ids::Same).unwrap();
    std::fs::write(images.directory(&held.digest).unwrap().join("new"), "").unwrap();
    assert!(images.write_layer(&held.digest, io::sink()).is_err());
}
