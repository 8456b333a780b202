FROM scratch
MAINTAINER  a  b 
