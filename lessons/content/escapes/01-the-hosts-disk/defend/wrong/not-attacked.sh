# says: Nothing was refused to guest yet. Throw the attack at it.
docker run -d --name guest alpine sleep 3600
