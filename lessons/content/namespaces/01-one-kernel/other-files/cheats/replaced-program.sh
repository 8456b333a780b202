# A sleep by the name of busybox.
# says: other-files executes …/busybox, but that file is not the one of the image.
docker run -d --name other-files ubuntu bash -c 'cp /usr/bin/sleep /bin/busybox && exec /bin/busybox 600'
