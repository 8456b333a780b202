docker run -d --name guest alpine sleep 3600
docker exec guest sh -c 'mkdir /disk; mknod /tmp/vda b 254 0; mount -t ext4 /tmp/vda /disk' || true
