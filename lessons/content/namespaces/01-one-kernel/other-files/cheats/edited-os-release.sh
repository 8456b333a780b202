# says: other-files executes …/sleep. That is no file of alpine, whatever its /etc/os-release says.
docker run -d --name other-files ubuntu sleep 600
docker exec other-files bash -c 'rm -f /etc/os-release; echo "PRETTY_NAME=\"Alpine Linux\"" > /etc/os-release'
