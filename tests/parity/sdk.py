"""A second client: Docker's own library for Python drives the daemon that DOCKER_HOST names. What it prints is compared.

    sdk.py TASK NAME    NAME is one that nobody else uses
"""

import io
import sys
import threading

import docker
import docker.errors


def lifecycle(client, name):
    container = client.containers.create("busybox", ["sh", "-c", "echo started; sleep 300"], name=name, labels={"a": "b"},
                                         environment={"X": "1"}, user="1000", working_dir="/tmp", cap_drop=["ALL"])
    print(container.status, container.labels["a"], container.attrs["Config"]["User"])
    container.start()
    container.reload()
    print(container.status, container.attrs["HostConfig"]["CapDrop"], container.image.tags[-1])
    container.rename(name + "-new")
    container.kill()
    print(container.wait())
    container.remove()
    try:
        client.containers.get(name + "-new")
    except docker.errors.NotFound as error:
        print(error.explanation)


def run(client, name):
    print(client.containers.run("busybox", "echo hello", remove=True))
    print(client.containers.run("busybox", ["sh", "-c", "echo out; sleep 0.3; echo err >&2"], remove=True, stdout=True, stderr=True))
    try:
        client.containers.run("busybox", ["sh", "-c", "echo err >&2; exit 3"], remove=True)
    except docker.errors.ContainerError as error:
        print(error.exit_status, error.stderr)
    try:
        client.containers.run("busybox", "nonsense", remove=True)
    except docker.errors.APIError as error:
        print(error.response.status_code, error.explanation)


def exec_(client, name):
    container = client.containers.run("busybox", "sleep 300", name=name, detach=True)
    print(container.exec_run("echo hello"))
    print(container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True))
    print(container.exec_run("id -u", user="1000"), container.exec_run("pwd", workdir="/etc"))
    print(container.exec_run("printenv A", environment={"A": "1"}))
    exec_id = client.api.exec_create(container.id, ["sh", "-c", "sleep 0.1; echo streamed; exit 6"])["Id"]
    print(b"".join(client.api.exec_start(exec_id, stream=True)))
    print(client.api.exec_inspect(exec_id)["ExitCode"], client.api.exec_inspect(exec_id)["Running"])
    print([len(column) > 0 for column in container.top()["Processes"]], container.top()["Titles"])


def attach(client, name):
    container = client.containers.create("busybox", ["sh", "-c", "read line; echo got $line; sleep 1; exit 2"], name=name,
                                         stdin_open=True)
    stream = container.attach(stream=True, logs=False)
    stdin = container.attach_socket(params={"stdin": 1, "stream": 1})
    container.start()
    stdin._sock.sendall(b"words\n")
    print(b"".join(stream), container.wait()["StatusCode"])


def logs(client, name):
    container = client.containers.run("busybox", ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done"], name=name,
                                      detach=True)
    print(b"".join(container.logs(stream=True, follow=True)))
    print(container.logs(tail=1), len(container.logs(timestamps=True).split()))


def events(client, name):
    seen = []
    stream = client.events(decode=True, filters={"type": "container", "container": name})

    def read():
        for event in stream:
            seen.append((event["Type"], event["Action"], event["Actor"]["Attributes"].get("exitCode")))
            if event["Action"] == "destroy":
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    client.containers.run("busybox", "true", name=name, remove=False)
    client.containers.get(name).remove()
    reader.join(20)
    print(seen)


def build(client, name):
    dockerfile = b"FROM busybox\nENV A=1\nRUN echo built >/file\nCMD cat /file\n"
    image, log = client.images.build(fileobj=io.BytesIO(dockerfile), tag=name, rm=True)
    print(image.tags, [line["stream"].split(" ---")[0] for line in log if line.get("stream", "").startswith("Step")])
    print(client.containers.run(name, remove=True))
    client.images.remove(name)
    try:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 5\n"), rm=True)
    except docker.errors.BuildError as error:
        print(error.msg)


def pull(client, name):
    for reference in ["localhost:1/nothing", "busybox@sha256:" + "0" * 63]:
        try:
            client.images.pull(reference)
        except docker.errors.APIError as error:
            print(error.response.status_code, error.explanation)
    print(client.images.get("busybox").tags, client.ping(), client.version()["ApiVersion"])


def archives(client, name):
    container = client.containers.run("busybox", ["sh", "-c", "echo words >/file"], name=name, detach=True)
    container.wait()
    stream, stat = container.get_archive("/file")
    print(stat["name"], stat["size"], stat["linkTarget"], len(b"".join(stream)) > 512)
    print(sorted((change["Path"], change["Kind"]) for change in container.diff()))


if __name__ == "__main__":
    task, name = sys.argv[1:]
    {"lifecycle": lifecycle, "run": run, "exec": exec_, "attach": attach, "logs": logs, "events": events, "build": build,
     "pull": pull, "archives": archives}[task](docker.from_env(timeout=30), name)
