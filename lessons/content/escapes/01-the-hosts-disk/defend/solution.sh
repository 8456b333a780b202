docker run -d --name guest alpine sleep 3600
docker exec guest sh -c 'mknod /tmp/vda b 254 0; mount -t ext4 /tmp/vda /mnt' || true
