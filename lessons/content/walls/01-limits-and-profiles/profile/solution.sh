cat > /etc/apparmor.d/keep-data <<'END'
profile keep-data flags=(attach_disconnected, mediate_deleted) {
  file,
  network,
  capability,
  signal,
  audit deny /data/** wl,
}
END
apparmor_parser --replace /etc/apparmor.d/keep-data
docker run -d --name vault -v /srv/data:/data --security-opt apparmor=keep-data ubuntu sleep 3600
docker exec vault sh -c 'echo "balance: 0" > /data/accounts' || true
