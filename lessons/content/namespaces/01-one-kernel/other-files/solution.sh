docker run -d --name other-files alpine sleep 600
