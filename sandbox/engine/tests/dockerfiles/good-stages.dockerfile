FROM scratch AS one
ENV a=1
FROM scratch as Two
ENV b=2
FROM one
ENV c=$a$b
