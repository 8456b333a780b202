# says: other-files executes …/sleep. That is no file of alpine, whatever its /etc/os-release says.
docker run -d --name other-files ubuntu bash -c 'exec -a /bin/busybox sleep 600'
