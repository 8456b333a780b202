# says: guest holds CAP_SYS_ADMIN, the capability that is asked for mounting.
docker run -d --name guest --cap-add SYS_ADMIN alpine sleep 3600
