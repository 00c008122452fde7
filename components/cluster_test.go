package components

import "testing"

func TestAmountOf(t *testing.T) {
	for _, test := range []struct {
		amount Amount
		total  int
		want   int
	}{
		{Amount{Percent: 10}, 1, 1}, {Amount{Percent: 10}, 10, 1}, {Amount{Percent: 10}, 11, 2}, {Amount{Percent: 25}, 7, 2},
		{Amount{Percent: 1}, 3, 1}, {Amount{Percent: 100}, 7, 7}, {Amount{Count: 2}, 5, 2}, {Amount{Count: 9}, 5, 5},
		{Amount{Count: 3}, 0, 1}, {Amount{Percent: 50}, 0, 1}, {Amount{}, 5, 1},
	} {
		if got := test.amount.Of(test.total); got != test.want {
			t.Errorf("%+v of %d is %d, want %d", test.amount, test.total, got, test.want)
		}
	}
}
