package unpack

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"provision/components"
)

// NewCommand is "agent unpack".
func NewCommand() *cobra.Command {
	var root, id string
	var from bool
	cmd := &cobra.Command{
		Use:   "unpack --id ID",
		Short: "Unpack a bundle from standard input, or from another machine",
		Long: "Reads a bundle's stream from standard input and makes the folder ROOT/ID of it. Files that the stream\n" +
			"leaves out are linked from other bundles below ROOT. Every sum is checked. It does nothing where the\n" +
			"folder is there already, and may be repeated after it was killed.\n\n" +
			"With --from standard input is handover.Source, and the stream comes from the machine that it names; what\n" +
			"came of that is printed as handover.Report. It fails only for what is wrong on this machine.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from {
				return take(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), root, id)
			}
			result, err := Unpack(cmd.Context(), flowing(cmd.InOrStdin(), idle), root, id)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), result)
			return err
		},
	}
	cmd.Flags().StringVar(&root, "root", components.Root, "folder of the bundles")
	cmd.Flags().StringVar(&id, "id", "", "the bundle's id: version and the manifest's sum")
	cmd.Flags().BoolVar(&from, "from", false, "take it from the machine that standard input names")
	return cmd
}

// NewImportCommand is "agent import-images".
func NewImportCommand() *cobra.Command {
	importer := Importer{}
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "import-images --dir BUNDLE",
		Short: "Import the bundle's images into containerd and pin them",
		Long: "Imports each image archive of an unpacked bundle into containerd, pins it against kubelet's image\n" +
			"collection, and waits until the container runtime interface serves it. Images that are there already\n" +
			"are left alone.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			imported, err := importer.Import(ctx)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "imported: %d images\n", imported)
			return err
		},
	}
	cmd.Flags().StringVar(&importer.Dir, "dir", "", "folder of the unpacked bundle")
	cmd.Flags().StringArrayVar(&importer.Names, "image", nil, "the name of one to import, and not all (may be repeated)")
	cmd.Flags().StringVar(&importer.Address, "address", components.Run+"/containerd/containerd.sock", "containerd's socket")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "for all of it, waiting for containerd included")
	return cmd
}
