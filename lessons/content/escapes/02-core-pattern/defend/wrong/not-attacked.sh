# says: guard is confined by docker-default, and nobody has attacked it. Try the remount in it.
docker run -d --name guard --cap-add SYS_ADMIN alpine sleep 3600
