# a comment
FROM scratch
MAINTAINER Some One <some@one.example>
LABEL a=b "c d"="e f" g='h $i'
ENV A=1 B="two words" C='$A' D=$A E=${A}x F=${NONE:-none} G=${A:+set} H=${NONE:+set} I=\$A J="\$A" K=a\ b
ENV OLD the old form   keeps  spaces
EXPOSE 80 443/tcp 53/udp 9000-9002
VOLUME /data ["/x"]
VOLUME ["/a b", "/c"]
USER 1000:1000
WORKDIR /a
WORKDIR b/../c
WORKDIR ./d
STOPSIGNAL SIGTERM
STOPSIGNAL 9
HEALTHCHECK --interval=5s --timeout=1m30s --start-period=1h --retries=3 CMD curl -f http://localhost/ || exit 1
HEALTHCHECK CMD ["true"]
HEALTHCHECK NONE
SHELL ["/bin/bash", "-c"]
CMD echo "hi $A"
ENTRYPOINT ["/entry", "x"]
CMD ["a", "b"]
ONBUILD RUN echo hi
onbuild   COPY . /src
