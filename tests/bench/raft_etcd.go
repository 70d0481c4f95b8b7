// raft_etcd: puts and gets on etcd by so many clients at once, each waiting for
// its answer, as redis-benchmark does for raftnode.
//
//	raft_etcd ENDPOINTS put|get|sget CLIENTS REQUESTS
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
)

func main() {
	endpoints := strings.Split(os.Args[1], ",")
	what := os.Args[2]
	clients, _ := strconv.Atoi(os.Args[3])
	requests, _ := strconv.Atoi(os.Args[4])
	each := requests / clients
	value := strings.Repeat("x", 100)

	conns := make([]*clientv3.Client, clients)
	for i := range conns {
		c, err := clientv3.New(clientv3.Config{
			Endpoints:   endpoints[i%len(endpoints) : i%len(endpoints)+1],
			DialTimeout: 5 * time.Second,
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		conns[i] = c
		if _, err := c.Get(context.Background(), "k"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	took := make([][]time.Duration, clients)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range conns {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			for j := 0; j < each; j++ {
				var err error
				t := time.Now()
				key := fmt.Sprintf("key%d", (i*each+j)%10000)
				switch what {
				case "put":
					_, err = conns[i].Put(context.Background(), key, value)
				case "get":
					_, err = conns[i].Get(context.Background(), key)
				default:
					_, err = conns[i].Get(context.Background(), key,
						clientv3.WithSerializable())
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				took[i] = append(took[i], time.Since(t))
			}
		}(i)
	}
	wg.Wait()
	all := time.Since(begin)
	var flat []time.Duration
	for _, t := range took {
		flat = append(flat, t...)
	}
	sort.Slice(flat, func(a, b int) bool { return flat[a] < flat[b] })
	fmt.Printf("%.0f %.3f %.3f\n", float64(len(flat))/all.Seconds(),
		float64(flat[len(flat)/2].Microseconds())/1000,
		float64(flat[len(flat)*99/100].Microseconds())/1000)
}
