# says: vault is confined by nothing: its label is unconfined.
docker run -d --name vault -v /srv/data:/data --security-opt apparmor=unconfined ubuntu sleep 3600
