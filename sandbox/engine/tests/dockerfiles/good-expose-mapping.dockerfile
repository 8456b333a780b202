FROM scratch
EXPOSE 80:90 127.0.0.1:81:91/udp 5-6:7-8 ::1
