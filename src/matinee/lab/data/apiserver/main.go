// A Kubernetes API server with its etcd in one process: the second of two that would otherwise be started and ended.
//
// etcd speaks through sockets in the working directory alone; the arguments are kube-apiserver's own.
package main

import (
	"log"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const clients, peers = "unix://clients:0", "unix://peers:0"

func main() {
	server, err := embed.StartEtcd(configuration("data"))
	if err != nil {
		log.Fatal(err)
	}
	<-server.Server.ReadyNotify()
	command := app.NewAPIServerCommand()
	command.SetArgs(append(os.Args[1:], "--etcd-servers="+clients))
	status := cli.Run(command)
	server.Close()
	os.Exit(status)
}

func configuration(folder string) *embed.Config {
	conf := embed.NewConfig()
	conf.Name, conf.Dir, conf.LogLevel = "one", folder, "warn"
	conf.ListenClientUrls, conf.AdvertiseClientUrls = urls(clients), urls(clients)
	conf.ListenPeerUrls, conf.AdvertisePeerUrls = urls(peers), urls(peers)
	conf.InitialCluster = conf.InitialClusterFromName(conf.Name)
	conf.UnsafeNoFsync = true // a kill of the process loses nothing, and power cuts are not for trials
	return conf
}

func urls(one string) []url.URL {
	parsed, err := url.Parse(one)
	if err != nil {
		log.Fatal(err)
	}
	return []url.URL{*parsed}
}
