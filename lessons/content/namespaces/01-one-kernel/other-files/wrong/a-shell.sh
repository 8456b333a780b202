# says: other-files is from alpine, and runs "sh"; let it run sleep.
docker run -dit --name other-files alpine
