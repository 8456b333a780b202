# A profile by the right name that allows everything.
# says: keep-data has refused nothing in vault so far. Throw the attack at it; if that succeeds, the profile lacks the rule.
printf 'profile keep-data flags=(attach_disconnected) {\n  file,\n  network,\n  capability,\n  signal,\n}\n' > /etc/apparmor.d/keep-data
apparmor_parser --replace /etc/apparmor.d/keep-data
docker run -d --name vault -v /srv/data:/data --security-opt apparmor=keep-data ubuntu sleep 3600
docker exec vault sh -c 'echo "balance: 0" > /data/accounts'
